// What can be asked of a worker from afar.
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/worker/builtin_tasks.hpp>
#include <tutti/cluster/inside/worker/worker_impl.hpp>

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <utility>

namespace tutti::cluster {
namespace {

// "SIGTERM", "TERM" or "15".
int signal_number(const std::string& text) {
  static constexpr std::pair<const char*, int> known[] = {{"TERM", SIGTERM}, {"KILL", SIGKILL}, {"INT", SIGINT},
                                                          {"QUIT", SIGQUIT}, {"HUP", SIGHUP},   {"USR1", SIGUSR1},
                                                          {"USR2", SIGUSR2}, {"ABRT", SIGABRT}, {"ALRM", SIGALRM}};
  std::string_view name = text;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (const auto& [n, number] : known) {
    if (name == n || name == std::to_string(number)) return number;
  }
  return SIGKILL;
}

}  // namespace

std::vector<shown_task> worker::impl::active() {
  std::vector<shown_task> all;
  for (const job_ptr& one : jobs_.running()) {
    const int pid = one->slot < children_.size() ? children_[one->slot]->pid() : ::getpid();
    all.push_back({one->message, one->started, pid, one->acknowledged.load()});
  }
  return all;
}

std::vector<shown_task> worker::impl::reserved() {
  std::vector<shown_task> all;
  for (const job_ptr& one : jobs_.waiting()) all.push_back({one->message, {}, 0, false});
  return all;
}

std::vector<std::string> worker::impl::revoked() { return revoked_.ids(std::chrono::system_clock::now()); }

worker_numbers worker::impl::numbers() {
  worker_numbers all;
  {
    const std::lock_guard lock(totals_mutex_);
    all.total = totals_;
  }
  all.pool = to_string(options_.pool);
  if (options_.pool == worker_pool::processes) all.max_tasks_per_child = options_.max_tasks_per_child;
  all.concurrency = static_cast<int>(slots_);
  all.prefetch = jobs_.limit();
  for (const auto& child : children_) {
    if (const int pid = child->pid(); pid != 0) all.pids.push_back(pid);
  }
  if (children_.empty()) all.pids.push_back(::getpid());
  all.since = since_;
  return all;
}

std::vector<std::string> worker::impl::queues() { return queues_; }

void worker::impl::revoke(const std::vector<std::string>& ids, bool terminate, const std::string& signal) {
  const wall_time now = std::chrono::system_clock::now();
  for (const std::string& id : ids) revoked_.add(id, now);
  const std::unordered_set<std::string> set(ids.begin(), ids.end());
  outcome ended;
  ended.kind = outcome_kind::revoked;
  ended.text = "revoked";
  for (const job_ptr& one : jobs_.remove(set)) {
    if (!one->over.exchange(true)) finish(one, ended);
  }
  if (terminate) {
    ended.text = "terminated";
    for (const job_ptr& one : jobs_.running()) {
      if (!set.contains(one->message.id) || one->over.exchange(true)) continue;
      finish(one, ended);
      one->stop.request_stop();
      if (one->slot < children_.size()) children_[one->slot]->kill(one.get(), signal_number(signal));
    }
  }
  completion_->want_chore();
}

void worker::impl::missed_some() { completion_->want_chore(); }

// So that workers that begin later know too, and those that were not reached; and to know what those know.
void worker::impl::keep_revocations() {
  const std::string id = revocations::stored_as;
  const auto found = app_.results()->fetch({&id, 1});
  const std::string before = found.empty() ? "{}" : found.front().value_or("{}");
  revoked_.merge(before);
  const auto kept = std::chrono::duration_cast<std::chrono::seconds>(revocations::kept);
  const stored_result all{id, revoked_.text(), kept, false};
  if (all.text != before) app_.results()->store({&all, 1});
}

bool worker::impl::rate_limit(const std::string& task, const std::string& rate) {
  static_cast<void>(parse_rate(rate));  // a wrong one is refused whatever the task
  if (task_to_run(task) == nullptr) return false;
  rates_.set(task, rate);
  return true;
}

void worker::impl::enable_events(bool on) { events_->enable(on); }

}  // namespace tutti::cluster
