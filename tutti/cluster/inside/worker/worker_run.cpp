// How messages are run: on this thread or in a process, within their limits.
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/worker/time_limit.hpp>
#include <tutti/cluster/inside/worker/worker_impl.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/core/timers.hpp>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

namespace tutti::cluster {
namespace {

using nanoseconds = std::chrono::nanoseconds;

nanoseconds in_ns(double seconds) { return tutti::detail::saturated(std::chrono::duration<double>(seconds)); }

// What the message says, else what the task does; nothing and 0: none.
std::optional<nanoseconds> limit_of(std::optional<double> said, std::optional<nanoseconds> own) {
  if (said && *said > 0) return std::max(nanoseconds(1), in_ns(*said));
  if (said || !own || own->count() <= 0) return {};
  return own;
}

std::optional<nanoseconds> hard_limit(const job& one) {
  return limit_of(one.message.time_limit, one.task->settings.time_limit);
}
std::optional<nanoseconds> soft_limit(const job& one) {
  return limit_of(one.message.soft_time_limit, one.task->settings.soft_time_limit);
}

std::optional<wall_time> deadline_of(const job& one) {
  auto limit = hard_limit(one);
  if (!limit) limit = soft_limit(one);
  if (!limit || *limit > std::chrono::hours(24 * 365 * 100)) return {};
  return std::chrono::system_clock::now() + std::chrono::duration_cast<wall_time::duration>(*limit);
}

}  // namespace

void worker::impl::run_slot(std::size_t slot) {
  while (children_.empty() || ready_child(*children_[slot])) {
    const job_ptr one = jobs_.take(slot);
    if (!one) return;
    run_job(one, slot);
  }
}

// A process is there before a message is taken for it: what goes wrong with it costs no message anything.
// While there is none, nothing is taken from the broker for its slot.
bool worker::impl::ready_child(child_process& child) {
  for (bool is_lost = false;;) {
    try {
      child.make_ready([this] { return !is_stopping(); });
      if (is_lost) jobs_.regain_slot();
      return true;
    } catch (const std::exception& e) {
      if (is_stopping()) return false;
      if (!std::exchange(is_lost, true)) jobs_.lose_slot();
      log(log_level::error, "a process of the worker cannot be started", {{"worker", name()}, {"error", e.what()}});
    }
    rest(std::chrono::seconds(1));
    if (is_stopping()) return false;
  }
}

void worker::impl::run_job(const job_ptr& one, std::size_t slot) {
  outcome ended;
  ended.kind = outcome_kind::again;
  std::optional<nanoseconds> took;  // nothing: it did not run
  try {
    if (begin(one)) ended = children_.empty() ? attempt_here(one) : attempt_in_child(one, *children_[slot]);
    if (ended.kind != outcome_kind::again) took = nanoseconds(ended.took);
    interrupt(*one, ended);
  } catch (...) {  // no memory
    ended = outcome();
    ended.failure = describe_failure(std::current_exception());
  }
  jobs_.done(slot, took);
  if (one->over.exchange(true)) return;
  finish(one, std::move(ended), jobs_.is_idle());
}

// A cold shutdown may have come before its end, or made it end: unless that is a success, another worker has a try.
// There is none for what was acknowledged before it ran, also when it could not begin here.
void worker::impl::interrupt(const job& one, outcome& ended) const {
  if (!one.acknowledged.load()) {
    if (is_cold() && ended.kind != outcome_kind::success) ended.kind = outcome_kind::again;
  } else if (is_cold() && (ended.kind == outcome_kind::again || ended.kind == outcome_kind::lost ||
                           (ended.kind == outcome_kind::failure && ended.failure.type == "TaskRevokedError"))) {
    ended.kind = outcome_kind::lost;
    ended.text = "the worker was shut down while the task ran";
  } else if (ended.kind == outcome_kind::again) {
    ended.kind = outcome_kind::lost;
  }
}

// Of one that was acknowledged, in a cold shutdown which its thread does not live to see.
void worker::impl::lose(const job_ptr& one) {
  outcome ended;
  ended.kind = outcome_kind::again;
  interrupt(*one, ended);
  finish(one, std::move(ended));
}

// False: it is not to run any more; then it has ended, or goes back.
bool worker::impl::begin(const job_ptr& one) {
  if (is_cold() || one->over.load()) return false;
  const auto is_others = [&] {  // to give it back does nothing
    log(log_level::warn, "a task is not run here: the worker was not heard of for so long that others have it",
        {{"task", one->message.task}, {"id", one->message.id}});
    return false;
  };
  if (!consumer_->holds(one->from.tag)) return is_others();
  const wall_time now = std::chrono::system_clock::now();
  outcome ended;
  ended.kind = outcome_kind::revoked;
  if (revoked_.contains(one->message.id, now)) {
    ended.text = "revoked";
    if (!one->over.exchange(true)) finish(one, std::move(ended));
    return false;
  }
  if (one->message.expires && *one->message.expires <= now) {
    if (!one->over.load()) bury(one, "expired", state::revoked, "TaskRevokedError");
    return false;
  }
  if (one->task->settings.acknowledge == ack::early) {
    try {
      if (!completion_->acknowledge(*one)) return is_others();
    } catch (const broker_error& e) {
      log(log_level::warn, "a task could not be acknowledged, and is not run",
          {{"task", one->message.task}, {"id", one->message.id}, {"error", e.what()}});
      return false;
    }
    one->acknowledged.store(true);
  }
  if (one->task->settings.track_started && !ignores_result(one->message, &one->task->settings)) {
    const std::string meta = join_object({{"pid", std::to_string(::getpid())}, {"hostname", json_string(name())}});
    const stored_result kept = state_result(one->message, state::started, meta, &one->task->settings, rules_);
    try {
      app_.results()->store({&kept, 1});
    } catch (const broker_error& e) {
      log(log_level::warn, "that a task has started could not be stored", {{"error", e.what()}});
    }
  }
  event("task-started", *one);
  return true;
}

void worker::impl::update(const detail::call_context& self, std::string_view status, std::string_view json) {
  const auto& [me, one] = *static_cast<const std::pair<impl*, const job*>*>(self.user);
  if (one->over.load() || ignores_result(one->message, &one->task->settings)) return;
  const stored_result kept = state_result(one->message, status, json, &one->task->settings, me->rules_);
  me->app_.results()->store({&kept, 1});
}

outcome worker::impl::attempt_here(const job_ptr& one) {
  std::pair<impl*, const job*> user(this, one.get());
  detail::call_context context;
  context.message = &one->message;
  context.where = &app_;
  context.deadline = deadline_of(*one);
  context.stop = one->stop.get_token();
  context.worker = name();
  context.update = update;
  context.user = &user;
  const auto limit = hard_limit(*one);
  // A thread cannot be ended: its task has failed, and it keeps its place until it returns.
  const time_limit hard(limit, [&] {
    try {
      outcome ended;
      ended.failure = time_limit_failure(*limit);
      if (one->over.exchange(true)) return;
      finish(one, std::move(ended));
    } catch (const std::exception& e) {  // no memory
      log(log_level::error, "the end of a task whose time is over cannot be told",
          {{"task", one->message.task}, {"id", one->message.id}, {"error", e.what()}});
    }
    one->stop.request_stop();
  });
  return run_task(*one->task, context, one->stop, soft_limit(*one).value_or(nanoseconds::zero()));
}

outcome worker::impl::attempt_in_child(const job_ptr& one, child_process& child) {
  detail::child_request request;
  request.message = one->message;
  request.expires = one->task->settings.result_expires.value_or(rules_.expires).count();
  request.library = one->task->library;
  request.soft_limit = soft_limit(*one).value_or(nanoseconds::zero()).count();
  request.deadline = deadline_of(*one);
  return child.run(one.get(), request, hard_limit(*one), [&] { return !one->over.load() && !is_cold(); });
}

void worker::impl::stop_running(bool kill) {
  for (const job_ptr& one : jobs_.running()) {
    one->stop.request_stop();
    if (kill && one->slot < children_.size()) children_[one->slot]->kill(one.get(), SIGKILL);
  }
}

}  // namespace tutti::cluster
