// cluster_worker: what tests of workers share: tasks given as functions of JSON, messages, and their results.
#pragma once
#include <gtest/gtest.h>
#include <tests/support/eventually.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/message.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/wire_text.hpp>
#include <tutti/cluster/worker.hpp>
#include <utility>
#include <vector>

namespace tutti_test {

namespace cluster = tutti::cluster;

inline constexpr std::chrono::seconds generous{30};

/// Opens once; who waits fails the test when that takes too long.
class signal_gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, generous, [&] { return is_open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
};

/// JSON of a signature.
inline std::string signature(const std::string& task, const std::string& args = "[]",
                             const std::string& options = "{}") {
  return R"({"task": ")" + task + R"(", "args": )" + args + R"(, "kwargs": {}, "options": )" + options +
         R"(, "subtask_type": null, "immutable": false})";
}

/// An app of the test's own, with tasks that live as long as it.
class cluster_bench {
 public:
  using body = std::function<std::string(const std::vector<std::string>& args)>;

  explicit cluster_bench(const std::string& url = "memory://" + cluster::new_uuid(), cluster::app_options more = {})
      : app_([&] {
          more.broker = url;
          return more;
        }()) {}

  [[nodiscard]] const cluster::app& app() const { return app_; }

  /// A task of any number of arguments.
  void task(const std::string& name, body run, cluster::task_settings settings = {}) {
    cluster::registered_task made;
    made.settings = std::move(settings);
    made.settings.name = name;
    made.signature = name + "(...)";
    made.run = [run = std::move(run)](std::string_view args, std::string_view) {
      return run(cluster::array_parts(args));
    };
    tasks_.emplace_back(std::move(made));
  }

  [[nodiscard]] cluster::task_message message(const std::string& task, const std::string& args = "[]") const {
    cluster::task_message m;
    m.task = task;
    m.id = cluster::new_uuid();
    m.args = args;
    return m;
  }
  std::string send(const cluster::task_message& m, std::optional<cluster::wall_time> due = {}) {
    const cluster::outgoing_message out{m.queue, cluster::encode_message(m), m.priority, due};
    app_.tasks()->publish({&out, 1});
    return m.id;
  }
  std::string send(const std::string& task, const std::string& args = "[]") { return send(message(task, args)); }

  [[nodiscard]] std::optional<cluster::task_result> look(const std::string& id) {
    const auto found = app_.results()->fetch({&id, 1});
    if (!found.at(0)) return {};
    return cluster::decode_result(*found[0]);
  }
  /// The result once its state is `status`, or is final when that is left out.
  cluster::task_result await(const std::string& id, std::string_view status = {}) {
    std::optional<cluster::task_result> last;
    const bool came = eventually([&] {
      last = look(id);
      return last && (status.empty() ? cluster::state::is_final(last->status) : last->status == status);
    });
    if (!came) {
      ADD_FAILURE() << "no result of " << id << (last ? ", but " + last->status : "");
      return {};
    }
    return *last;
  }
  /// What went to the queue of those that could not be run.
  [[nodiscard]] std::vector<std::string> buried(const std::string& queue = "celery") {
    return app_.tasks()->peek(queue + ".dead", 100);
  }
  [[nodiscard]] std::uint64_t left(const std::string& queue = "celery") {
    std::uint64_t all = 0;
    for (const auto& q : app_.tasks()->queues({&queue, 1})) all += q.waiting + q.held + q.delayed;
    return all;
  }

 private:
  cluster::app app_;
  std::list<cluster::task_registration> tasks_;
};

/// A worker while it lives; ends warm.
class running_worker {
 public:
  explicit running_worker(const cluster_bench& bench, cluster::worker_options options = {})
      : worker_(bench.app(), std::move(options)) {
    worker_.start();
  }
  ~running_worker() {
    if (!ended_) stop();
  }
  running_worker(const running_worker&) = delete;
  running_worker& operator=(const running_worker&) = delete;
  int stop(bool warm = true) {
    ended_ = true;
    worker_.shutdown(warm);
    return worker_.wait();
  }
  cluster::worker* operator->() { return &worker_; }

 private:
  cluster::worker worker_;
  bool ended_ = false;
};

}  // namespace tutti_test
