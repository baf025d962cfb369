// fake_control_target: a worker that has what a test gives it, and notes what it is told.
#pragma once
#include <tutti/cluster/control/control_target.hpp>
#include <tutti/cluster/control/event_sender.hpp>

#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace tutti_test {

class fake_control_target : public tutti::cluster::control_target {
 public:
  explicit fake_control_target(tutti::cluster::event_sender& events) : events_(events) {}

  std::vector<tutti::cluster::shown_task> running, waiting;  // set before the panel is made

  std::vector<std::string> said() {
    const std::lock_guard lock(mutex_);
    return said_;
  }

  std::vector<tutti::cluster::shown_task> active() override { return running; }
  std::vector<tutti::cluster::shown_task> reserved() override { return waiting; }
  std::vector<std::string> revoked() override {
    const std::lock_guard lock(mutex_);
    return revoked_;
  }
  tutti::cluster::worker_numbers numbers() override {
    return {.total = {{"tasks.add", 3}, {"tasks.nap", 4}},
            .pool = "threads",
            .concurrency = 2,
            .prefetch = 8,
            .max_tasks_per_child = 50,
            .pids = {1234, 1235},
            .since = std::chrono::steady_clock::now()};
  }
  std::vector<std::string> queues() override { return {"celery", "math"}; }
  void revoke(const std::vector<std::string>& ids, bool terminate, const std::string& signal) override {
    const std::lock_guard lock(mutex_);
    for (const std::string& id : ids) {
      revoked_.push_back(id);
      said_.push_back("revoke " + id + (terminate ? " terminate " + signal : ""));
    }
  }
  bool rate_limit(const std::string& task, const std::string& rate) override {
    if (rate == "often") throw std::invalid_argument("\"often\" is no rate");
    note("rate_limit " + task + " " + rate);
    return task == "tasks.add";
  }
  void shutdown(bool warm) override { note(warm ? "shutdown warm" : "shutdown cold"); }
  void enable_events(bool on) override { events_.enable(on); }
  void missed_some() override { note("missed some"); }

 private:
  void note(const std::string& what) {
    const std::lock_guard lock(mutex_);
    said_.push_back(what);
  }

  tutti::cluster::event_sender& events_;
  std::mutex mutex_;
  std::vector<std::string> said_, revoked_;
};

}  // namespace tutti_test
