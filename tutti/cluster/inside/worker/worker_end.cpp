// How messages end: what that brings about, and what is told of it.
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/worker/worker_impl.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <limits>
#include <new>
#include <ranges>
#include <utility>

namespace tutti::cluster {
namespace {

// "ValueError('no such file')".
std::string repr(const task_failure& failure, std::size_t most = 1024) {
  std::string inside = python_repr(failure.args, most);
  if (inside.size() >= 2) inside = inside.substr(1, inside.size() - 2);
  return failure.type + "(" + inside + ")";
}

// For who watches the log.
void log_failure(const job& one, const task_failure& failure) {
  if (!log_enabled(log_level::error)) return;
  std::string text = repr(failure, 400);
  if (constexpr std::size_t most = 500; text.size() > most) {  // the type's name can be long
    std::size_t end = most;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
    text.resize(end);
  }
  log(log_level::error, "a task has failed", {{"task", one.message.task}, {"id", one.message.id}, {"error", text}});
}

}  // namespace

void worker::impl::event(std::string_view type, const job& one, event_fields fields) {
  if (!has_events()) return;
  fields.insert(fields.begin(), {"uuid", json_string(one.message.id)});
  events_->send(type, std::move(fields));
}

void worker::impl::count(const job& one) {
  const std::lock_guard lock(totals_mutex_);
  ++totals_[one.task != nullptr ? one.task->settings.name : one.message.task];
}

outgoing_message worker::impl::dead_letter(const job& one, const std::string& reason) const {
  return {one.from.queue + ".dead", dead_letter_of(one.from.text, reason), one.from.priority};
}

void worker::impl::finish(const job_ptr& one, outcome ended, bool alone) noexcept {
  one->over.store(true);
  ended_job out{one};
  try {
    describe_end(out, ended);
  } catch (const std::exception& e) {  // no memory for what it brings about
    log(log_level::error, "what a task's end brings about cannot be told; it has failed",
        {{"task", one->message.task}, {"id", one->message.id}, {"error", e.what()}});
    out.gives_back = false;
    out.brings = failed_alone(*one, e.what());
  }
  completion_->add(std::move(out), alone);
}

void worker::impl::describe_end(ended_job& out, const outcome& ended) {
  const job_ptr& one = out.of;
  const task_message& m = one->message;
  const task_settings* const settings = settings_of(*one);
  if (ended.kind == outcome_kind::success) {
    if (end_with_success(out.brings, m, settings, ended.result, rules_)) {
      succeeded_.fetch_add(1, std::memory_order_relaxed);
      const double runtime = static_cast<double>(ended.took) / 1e9;
      if (log_enabled(log_level::info)) {  // before the fields are copied
        log(log_level::info, "a task has succeeded", {{"task", m.task}, {"id", m.id}, {"runtime", runtime}});
      }
      if (has_events()) {
        event("task-succeeded", *one,
              {{"result", json_string(python_repr(ended.result))}, {"runtime", std::to_string(runtime)}});
      }
    } else {
      log(log_level::error, "a task has failed: what comes after it cannot be sent", {{"task", m.task}, {"id", m.id}});
      failed_.fetch_add(1, std::memory_order_relaxed);
      event("task-failed", *one, {{"exception", json_string("what comes next cannot be sent")}, {"traceback", "\"\""}});
    }
    count(*one);
  } else if (ended.kind == outcome_kind::retry) {
    retry(out, ended);
  } else if (ended.kind == outcome_kind::again) {
    out.gives_back = true;
  } else if (ended.kind == outcome_kind::revoked) {
    end_without_success(out.brings, m, settings, state::revoked, celery_failure("TaskRevokedError", ended.text),
                        rules_);
    revoked_count_.fetch_add(1, std::memory_order_relaxed);
    count(*one);
    event("task-revoked", *one,
          {{"terminated", ended.text == "terminated" ? "true" : "false"}, {"signum", "null"}, {"expired", "false"}});
  } else if (ended.kind == outcome_kind::lost) {
    lost(out, ended);
  } else {
    end_without_success(out.brings, m, settings, state::failure, ended.failure, rules_);
    failed_.fetch_add(1, std::memory_order_relaxed);
    count(*one);
    log_failure(*one, ended.failure);
    if (has_events()) {
      event("task-failed", *one,
            {{"exception", json_string(repr(ended.failure))}, {"traceback", json_string(ended.failure.traceback)}});
    }
  }
}

// A failure of which little is told, and that brings about nothing but that.
ending worker::impl::failed_alone(const job& one, const std::string& why) const {
  ending brings;
  try {
    task_message alone = one.message;
    alone.errbacks.clear();
    alone.callbacks.clear();
    end_without_success(brings, alone, settings_of(one), state::failure, celery_failure("InternalError", why), rules_);
  } catch (const std::exception&) {  // then nobody hears of it
    return {};
  }
  return brings;
}

void worker::impl::retry(ended_job& out, const outcome& ended) {
  const job& one = *out.of;
  task_message next = one.message;
  next.retries = std::min(next.retries, std::numeric_limits<int>::max() - 1) + 1;
  next.eta = std::chrono::system_clock::now() +
             std::chrono::duration_cast<wall_time::duration>(
                 std::chrono::nanoseconds(std::min<std::int64_t>(ended.wait, 3'153'600'000'000'000'000)));  // 100 years
  next.queue = one.from.queue;
  next.priority = one.from.priority;
  // What is acknowledged already is sent as by a client, and has not waited then.
  if (!one.acknowledged.load()) next.headers.insert_or_assign(waited, json_string(iso_time(*next.eta)));
  if (!ignores_result(one.message, settings_of(one))) {
    out.brings.results.push_back(retry_result(one.message, ended.failure, settings_of(one), rules_));
  }
  out.brings.follow.push_back(to_send(next));
  retried_.fetch_add(1, std::memory_order_relaxed);
  if (has_events()) {
    event("task-retried", one,
          {{"exception", json_string(repr(ended.failure))}, {"traceback", json_string(ended.failure.traceback)}});
  }
}

// Its process has died under it: another one has a try, unless that has gone on for too long, or it may run only once.
void worker::impl::lost(ended_job& out, const outcome& ended) {
  const job& one = *out.of;
  const int before = lost_attempts(one.message);
  if (!one.acknowledged.load() && before + 1 < most_lost) {
    out.brings.follow.push_back(
        {one.from.queue, with_header(one.from.text, lost_header, std::to_string(before + 1)), one.from.priority});
    log(log_level::warn, "a task's process has died; it is tried again",
        {{"task", one.message.task}, {"id", one.message.id}, {"error", ended.text}});
    return;
  }
  std::string why = ended.text;
  if (!one.acknowledged.load()) {
    why +=
        "; it was tried " + std::to_string(before + 1) + " times, and is put aside in \"" + one.from.queue + ".dead\"";
    out.brings.follow.push_back(
        dead_letter(one, std::to_string(before + 1) + " processes have died under this task: " + ended.text));
  }
  const task_failure failure = celery_failure("WorkerLostError", why);
  end_without_success(out.brings, one.message, settings_of(one), state::failure, failure, rules_);
  failed_.fetch_add(1, std::memory_order_relaxed);
  count(one);
  log_failure(one, failure);
  event("task-failed", one, {{"exception", json_string(repr(failure))}, {"traceback", "\"\""}});
  if (one.acknowledged.load()) return;
  dead_.fetch_add(1, std::memory_order_relaxed);
}

void worker::impl::give_back(const std::vector<job_ptr>& jobs) {
  for (const job_ptr& one : std::views::reverse(jobs)) {  // the first one comes last, and so is in front
    one->over.store(true);
    completion_->add({one, {}, true});
  }
}

// It is not run: it goes where somebody may look at it, and whoever waits for it hears of it.
void worker::impl::bury(const job_ptr& one, const std::string& reason, std::string_view status, std::string_view type) {
  if (one->over.exchange(true)) return;
  ended_job out{one};
  try {
    end_without_success(out.brings, one->message, settings_of(*one), status, celery_failure(type, reason), rules_);
    out.brings.follow.push_back(dead_letter(*one, reason));
  } catch (const std::bad_alloc&) {  // another one may have more
    out = {one, {}, true};
    return completion_->add(std::move(out));
  }
  dead_.fetch_add(1, std::memory_order_relaxed);
  const bool is_revoked = status == state::revoked;
  (is_revoked ? revoked_count_ : failed_).fetch_add(1, std::memory_order_relaxed);
  log(is_revoked ? log_level::warn : log_level::error, "a task is not run, and put aside",
      {{"task", one->message.task}, {"id", one->message.id}, {"queue", one->from.queue}, {"reason", reason}});
  if (is_revoked) {
    event("task-revoked", *one, {{"terminated", "false"}, {"signum", "null"}, {"expired", "true"}});
  } else {
    event("task-rejected", *one, {{"requeue", "false"}});
  }
  completion_->add(std::move(out));
}

}  // namespace tutti::cluster
