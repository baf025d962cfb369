// How messages come in: what is read of them, and which of them are to be run now.
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/worker/builtin_tasks.hpp>
#include <tutti/cluster/inside/worker/worker_impl.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tutti::cluster {
namespace {

constexpr const char* waited = "x-tutti-waited";

}  // namespace

bool worker::impl::open_consumer() {
  for (auto pause = std::chrono::milliseconds(20); !is_stopping();
       pause = std::min(2 * pause, std::chrono::milliseconds(1000))) {
    try {
      consumer_ = app_.tasks()->consume(name(), queues_);
      const std::lock_guard lock(waker_mutex_);
      waker_ = consumer_.get();
      return true;
    } catch (const broker_error& e) {
      log(log_level::warn, "the broker cannot be reached", {{"worker", name()}, {"error", e.what()}});
    }
    rest(pause);
  }
  return false;
}

void worker::impl::load_revocations() {
  const std::string id = revocations::stored_as;
  for (auto pause = std::chrono::milliseconds(20); !is_stopping();
       pause = std::min(2 * pause, std::chrono::milliseconds(1000))) {
    try {
      const auto found = app_.results()->fetch({&id, 1});
      if (!found.empty() && found.front()) revoked_.merge(*found.front());
      return;
    } catch (const broker_error& e) {
      log(log_level::warn, "the result store cannot be reached", {{"worker", name()}, {"error", e.what()}});
    }
    rest(pause);
  }
}

void worker::impl::fetch() {
  using std::chrono::nanoseconds;
  const auto patience = [this] {
    constexpr nanoseconds longest = std::chrono::seconds(1);
    const auto look = jobs_.next_look();
    return look ? std::clamp<nanoseconds>(*look - clock::now(), nanoseconds::zero(), longest) : longest;
  };
  while (!is_stopping()) {
    const std::size_t room = jobs_.wait_for_room(patience());
    if (is_stopping()) return;
    if (room > 0) admit(consumer_->receive(room, patience()));
    give_back(jobs_.take_stale());
    if (options_.pool == worker_pool::inline_) {
      while (!is_stopping()) {
        const job_ptr one = jobs_.take(0, false);
        if (!one) break;
        run_job(one, 0);
      }
    }
  }
}

void worker::impl::admit(std::vector<delivery> batch) {
  std::vector<job_ptr> ready;
  bool any_dedupe = false;
  for (delivery& d : batch) {
    const job_ptr one = look_at(std::move(d));
    if (!one || !is_to_run(one) || waits_for_its_rate(one)) continue;
    any_dedupe = any_dedupe || one->task->settings.dedupe;
    ready.push_back(one);
  }
  if (any_dedupe) skip_what_is_done(ready);
  jobs_.put(std::move(ready));
}

// What is in a message; null when that is nothing that can be run.
job_ptr worker::impl::look_at(delivery d) {
  auto one = std::make_shared<job>();
  one->from = std::move(d);
  const std::string& text = one->from.text;
  std::string wrong;
  received_.fetch_add(1, std::memory_order_relaxed);
  if (text.size() > most_bytes) {
    wrong = "the message has " + std::to_string(text.size()) + " bytes, and 100 MB is the most";
  } else {
    try {
      one->message = decode_message(text);
      return one;
    } catch (const std::exception& e) {
      wrong = e.what();
    }
  }
  const message_name name = name_of(text);
  one->message.id = name.id;
  one->message.task = name.task;
  bury(one, wrong, state::failure, "InvalidTaskError");
  return nullptr;
}

bool worker::impl::is_to_run(const job_ptr& one) {
  const task_message& m = one->message;
  const wall_time now = std::chrono::system_clock::now();
  one->task = find_builtin(m.task);
  if (one->task == nullptr) one->task = find_task(m.task);
  if (has_events()) {
    event("task-received", *one,
          {{"name", json_string(m.task)},
           {"args", json_string(m.argsrepr.empty() ? python_repr(m.args) : m.argsrepr)},
           {"kwargs", json_string(m.kwargsrepr.empty() ? python_repr(m.kwargs) : m.kwargsrepr)},
           {"root_id", m.root_id.empty() ? "null" : json_string(m.root_id)},
           {"parent_id", m.parent_id.empty() ? "null" : json_string(m.parent_id)},
           {"retries", std::to_string(m.retries)},
           {"eta", m.eta ? json_string(iso_time(*m.eta)) : "null"},
           {"expires", m.expires ? json_string(iso_time(*m.expires)) : "null"}});
  }
  if (one->task == nullptr) {
    bury(one, "no task \"" + m.task + "\" is known to the worker " + name(), state::failure, "NotRegistered");
    return false;
  }
  if (one->from.returned > most_returns) {
    bury(one, std::to_string(one->from.returned) + " workers have died while they had this task", state::failure,
         "WorkerLostError");
    return false;
  }
  if (revoked_.contains(m.id, now)) {
    outcome ended;
    ended.kind = outcome_kind::revoked;
    ended.text = "revoked";
    finish(one, std::move(ended));
    return false;
  }
  if (m.expires && *m.expires <= now) {
    bury(one, "expired", state::revoked, "TaskRevokedError");
    return false;
  }
  return !is_parked(one);
}

// Not before its time. Which has come when it waited for just that at the broker: clocks differ.
bool worker::impl::is_parked(const job_ptr& one) {
  const task_message& m = one->message;
  if (!m.eta || *m.eta <= std::chrono::system_clock::now()) return false;
  const auto found = m.headers.find(waited);
  if (found != m.headers.end() && found->second == json_string(iso_time(*m.eta))) return false;
  park(one, *m.eta);
  return true;
}

void worker::impl::park(const job_ptr& one, wall_time until) {
  ended_job out{one, {}, false};
  const std::string& text = one->from.text;
  const bool has_eta = one->message.eta.has_value();
  out.brings.follow.push_back({one->from.queue,
                               has_eta ? with_header(text, waited, json_string(iso_time(*one->message.eta))) : text,
                               one->from.priority, until});
  one->over.store(true);
  completion_->add(std::move(out));
}

bool worker::impl::waits_for_its_rate(const job_ptr& one) {
  const auto now = clock::now();
  const std::string& task = one->task->settings.name;
  clock::time_point begin = now;
  try {
    const auto next = rates_.next(task, now);
    begin = next > now ? next : rates_.take(task, one->task->settings.rate_limit, now);
    if (begin <= now) return false;
    if (jobs_.put_later(one, begin)) {
      static_cast<void>(rates_.take(task, one->task->settings.rate_limit, now));
      return true;
    }
  } catch (const std::invalid_argument& e) {
    log(log_level::error, "a task has a wrong rate limit, and runs without one", {{"task", task}, {"error", e.what()}});
    rates_.set(task, "");
    return false;
  }
  // Too many wait here: it comes back when they are through.
  park(one, std::chrono::system_clock::now() + std::chrono::duration_cast<wall_time::duration>(begin - now));
  return true;
}

// A result that is there counts: only what comes after it is done again, as the worker before has died between the two.
void worker::impl::skip_what_is_done(std::vector<job_ptr>& jobs) {
  std::vector<std::string> ids;
  for (const job_ptr& one : jobs) {
    if (one->task->settings.dedupe) ids.push_back(one->message.id);
  }
  std::vector<std::optional<std::string>> found;
  for (auto pause = std::chrono::milliseconds(20);; pause = std::min(2 * pause, std::chrono::milliseconds(1000))) {
    try {
      found = app_.results()->fetch(ids);
      break;
    } catch (const broker_error& e) {
      log(log_level::warn, "the result store cannot be reached", {{"worker", name()}, {"error", e.what()}});
      if (is_stopping()) return give_back(std::exchange(jobs, {}));
    }
    rest(pause);
  }
  std::size_t next = 0;
  std::erase_if(jobs, [&](const job_ptr& one) {
    if (!one->task->settings.dedupe) return false;
    const std::optional<std::string>& text = found.at(next++);
    if (!text) return false;
    try {
      task_result kept = decode_result(*text);
      if (kept.status != state::success) return false;
      outcome ended;
      ended.kind = outcome_kind::success;
      ended.result = std::move(kept.result);
      one->over.store(true);
      finish(one, std::move(ended));
      return true;
    } catch (const decode_error&) {
      return false;
    }
  });
}

}  // namespace tutti::cluster
