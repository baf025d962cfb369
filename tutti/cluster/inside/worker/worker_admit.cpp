// How messages come in: what is read of them, and which of them are to be run now.
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/worker/builtin_tasks.hpp>
#include <tutti/cluster/inside/worker/retried.hpp>
#include <tutti/cluster/inside/worker/worker_impl.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tutti::cluster {

template <class Step>
void worker::impl::retry_until_stopped(const char* what, Step step) {
  constexpr std::chrono::seconds between_lines(5);
  clock::time_point next_line{};
  retried(step, [&](const broker_error& e, std::chrono::milliseconds pause) {
    if (const auto now = clock::now(); now >= next_line) {
      log(log_level::warn, what, {{"worker", name()}, {"error", e.what()}});
      next_line = now + between_lines;
    }
    rest(pause);
    return !is_stopping();
  });
}

void worker::impl::open_consumer() {
  retry_until_stopped("the broker cannot be reached", [&] {
    auto made = app_.tasks()->consume(name(), queues_);
    const std::lock_guard lock(waker_mutex_);
    consumer_ = std::move(made);
    waker_ = consumer_.get();
  });
}

void worker::impl::load_revocations() {
  retry_until_stopped("the result store cannot be reached", [&] {
    const std::string id = revocations::stored_as;
    const auto found = app_.results()->fetch({&id, 1});
    if (!found.empty() && found.front()) revoked_.merge(*found.front());
  });
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
  one->task = task_to_run(m.task);
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
    bury(one,
         "no task \"" + m.task + "\" is known to the worker " + name() +
             ": --load its library, or send it to a queue of its own (it came from \"" + one->from.queue + "\")",
         state::failure, "NotRegistered");
    return false;
  }
  if (one->from.returned > most_returns) {
    bury(one, std::to_string(one->from.returned) + " workers have died while they had this task", state::failure,
         "WorkerLostError");
    return false;
  }
  if (const int lost = lost_attempts(m); lost >= most_lost) {
    bury(one, std::to_string(lost) + " attempts came to no end", state::failure, "WorkerLostError");
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

// It is held here when it begins soon; else others may have it, and it comes back before its time.
bool worker::impl::waits_for_its_rate(const job_ptr& one) {
  constexpr std::chrono::seconds soon(1), longest(5);
  const auto now = clock::now();
  const task_settings& task = one->task->settings;
  try {
    const auto turn = rates_.take(task.name, task.rate_limit, now, soon);
    if (turn.is_taken && turn.begin <= now) return false;
    if (turn.is_taken) {
      jobs_.put_later(one, turn.begin);
    } else {
      const auto wait = std::min<clock::duration>(turn.begin - now - soon / 2, longest);
      park(one, std::chrono::system_clock::now() + std::chrono::duration_cast<wall_time::duration>(wait));
    }
    return true;
  } catch (const std::invalid_argument& e) {
    log(log_level::error, "a task has a wrong rate limit, and runs without one",
        {{"task", task.name}, {"error", e.what()}});
    rates_.set(task.name, "");
    return false;
  }
}

// A result that is there counts: only what comes after it is done again, as the worker before has died between the two.
void worker::impl::skip_what_is_done(std::vector<job_ptr>& jobs) {
  std::vector<std::string> ids;
  for (const job_ptr& one : jobs) {
    if (one->task->settings.dedupe) ids.push_back(one->message.id);
  }
  std::vector<std::optional<std::string>> found;
  try {
    retry_until_stopped("the result store cannot be reached", [&] { found = app_.results()->fetch(ids); });
  } catch (const broker_error&) {
    return give_back(std::exchange(jobs, {}));
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
      finish(one, std::move(ended));
      return true;
    } catch (const decode_error&) {
      return false;
    }
  });
}

}  // namespace tutti::cluster
