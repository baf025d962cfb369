#include <tutti/core/future_state.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/core/sleep_hook.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/core/unhandled.hpp>

#include <cstdio>
#include <memory>
#include <new>

namespace tutti {

// The stop_source of a task that asked for a token, chained to its pool's.
struct future_state_base::stop_state {
  struct forward {
    std::stop_source* to;
    void operator()() const noexcept { to->request_stop(); }
  };
  explicit stop_state(const std::stop_token& pool) : on_shutdown(pool, forward{&source}) {}
  std::stop_source source;
  std::stop_callback<forward> on_shutdown;
};

future_state_base::~future_state_base() { delete stop_state_.load(std::memory_order_acquire); }

void future_state_base::destroy() noexcept {
  if (error_ != nullptr && (status_.load(std::memory_order_relaxed) & observed) == 0) {
    report_unhandled(error_, describe(), unhandled_origin::dropped_future);
  }
  delete this;
}

bool future_state_base::settle_error(std::exception_ptr error) noexcept {
  if (!begin_settle()) return false;
  set_error(std::move(error));
  finish_settle();
  return true;
}

std::string_view shown_name(std::string_view name) noexcept {
  if (name.find("task<") == name.npos && name.find("async_generator<") == name.npos) return name;
  // "static tutti::task<int> shop::quote(int)", "tutti::task<T> first(T) [with T = int]"
  name = name.substr(0, name.find(" [with "));
  const std::size_t brackets = name.rfind(')');
  if (brackets == name.npos) return name;
  std::size_t open = brackets;
  for (int depth = 0; open > 0; --open) {
    depth += name[open] == ')' ? 1 : name[open] == '(' ? -1 : 0;
    if (depth == 0) break;
  }
  std::string_view shown = name.substr(0, open);
  int depth = 0;
  for (std::size_t at = shown.size(); at > 0; --at) {
    const char c = shown[at - 1];
    depth += c == '>' || c == ')' ? 1 : c == '<' || c == '(' ? -1 : 0;
    if (c == ' ' && depth == 0) {
      shown.remove_prefix(at);
      break;
    }
  }
  return shown.empty() ? name : shown;
}

std::string task_text(const char* name) {
  return *name == '\0' ? std::string("a task without a name") : "task \"" + std::string(shown_name(name)) + '"';
}

std::string timeout_text(const char* name, std::chrono::nanoseconds limit) {
  char ms[32];
  std::snprintf(ms, sizeof ms, "%.15g", std::chrono::duration<double, std::milli>(limit).count());
  return task_text(name) + " ran longer than its timeout of " + ms + " ms";
}

// ---------------------------------------------------------------- callbacks

// Callbacks make other futures ready, whose callbacks make others ready, a million deep in a long chain: they are
// queued and called in a loop by the outermost call on this thread. What a callback runs may block all the same (a
// continuation on an inline executor), perhaps for what is queued behind it. That is handed over before it sleeps, and
// not called on top of it: what waits there could wait for what lies below, or take the locks that it holds.
class future_state_base::callback_queue {
 public:
  callback_queue() = default;
  callback_queue(const callback_queue&) = delete;
  callback_queue& operator=(const callback_queue&) = delete;

  bool empty() const noexcept { return head_ == nullptr; }
  void push_front(ready_callback& callback) noexcept {
    if (empty()) tail_ = &callback;
    callback.next_ = std::exchange(head_, &callback);
  }
  void append(callback_queue& others) noexcept {
    if (others.empty()) return;
    (empty() ? head_ : tail_->next_) = std::exchange(others.head_, nullptr);
    tail_ = others.tail_;
  }
  /// Calls them all, and those that they add; if this thread does so already, it goes on with them later.
  static void call_all(callback_queue& more) noexcept;

 private:
  class handed_over;
  static void hand_over() noexcept;
  static void say_kept() noexcept;

  ready_callback* head_ = nullptr;
  ready_callback* tail_ = nullptr;  // while not empty
  static constinit thread_local callback_queue pending;
};

constinit thread_local future_state_base::callback_queue future_state_base::callback_queue::pending;

void future_state_base::callback_queue::call_all(callback_queue& more) noexcept {
  pending.append(more);
  if (sleep_hook_now != nullptr) return;
  sleep_hook_now = hand_over;
  while (!pending.empty()) {
    ready_callback* const callback = pending.head_;
    pending.head_ = callback->next_;
    future_state_base* const state = callback->state_;
    callback->on_ready(*state);  // the callback may be gone after this
    state->release();
  }
  sleep_hook_now = nullptr;
}

// Callbacks on their way to another thread.
class future_state_base::callback_queue::handed_over final : public call_node {
 public:
  explicit handed_over(callback_queue& from) noexcept {
    callbacks_.append(from);
    name_ = "callbacks";
  }
  void run() noexcept override {
    call_all(callbacks_);
    delete this;
  }
  // There is no default pool, or it takes no more work: the timer thread does.
  void abandon(std::exception_ptr) noexcept override {
    try {
      call_later(std::chrono::nanoseconds::zero(), [this] { run(); });
    } catch (const std::exception&) {
      say_kept();
      run();
    }
  }

 private:
  callback_queue callbacks_;
};

void future_state_base::callback_queue::hand_over() noexcept {
  if (detail::before_callbacks_sleep != nullptr) detail::before_callbacks_sleep();
  if (pending.empty()) return;
  if (auto* const others = new (std::nothrow) handed_over(pending))
    start_at_home(0, call(others));
  else
    say_kept();
}

// Nobody else can be had. This thread calls them when it is through with what it waits for, which may be never.
void future_state_base::callback_queue::say_kept() noexcept {
  if (sleep_hook_now == nullptr) return;  // it calls them at once
  log(log_level::error, "callbacks of futures wait for one that sleeps: no memory or thread to call them elsewhere");
}

void future_state_base::wake() noexcept {
  ready_callback* newest = nullptr;
  {
    const std::lock_guard lock(waiters_.mutex());
    newest = std::exchange(callbacks_, nullptr);
  }
  waiters_.wake_all();
  callback_queue in_order;
  while (newest != nullptr) {
    ready_callback* const callback = std::exchange(newest, newest->next_);
    retain();  // until it was called
    callback->state_ = this;
    in_order.push_front(*callback);
  }
  if (!in_order.empty()) callback_queue::call_all(in_order);
}

void future_state_base::when_ready(ready_callback& callback) noexcept {
  {
    const std::lock_guard lock(waiters_.mutex());
    if ((status_.fetch_or(attended, std::memory_order_seq_cst) & ready) == 0) {
      callback.next_ = std::exchange(callbacks_, &callback);
      return;
    }
  }
  callback.on_ready(*this);
}

bool future_state_base::forget(const ready_callback* callback) noexcept {
  const std::lock_guard lock(waiters_.mutex());
  for (ready_callback** at = &callbacks_; *at != nullptr; at = &(*at)->next_) {
    if (*at == callback) {
      *at = callback->next_;
      return true;
    }
  }
  return false;
}

// ---------------------------------------------------------------- waiting

// On a worker of the pool it belongs to: gets it done rather than waits for it.
bool future_state_base::help(worker& self, bool& looked, const wait_how& how) {
  if (home_ == 0) return run_here() && is_ready();  // made from futures of several pools: each part knows its own
  if (self.pool->executor_id() != home_) return false;
  // What it helps with runs on top of it, which makes this a wait like any other.
  wait_graph::watched_wait watched;
  if (wait_graph::observer() != nullptr) [[unlikely]] {
    const wait_target target = as_target();
    watched.begin({.who = wait_graph::self(), .targets = {&target, 1}, .what = how.what, .here = how.here});
  }
  if (run_here()) return is_ready();
  const auto unfinished = [this] { return !is_ready(); };
  for (spinner spin(spinner::before_sleep); unfinished();) {
    // acquire: `root_` is visible.
    const bool known = located_.load(std::memory_order_acquire);
    if (known && root_.runner != &self && self.run_descendant(root_, unfinished)) {
      spin.restart();
    } else if (!spin.once()) {
      looked = true;
      return false;
    }
  }
  return true;
}

// A loop's thread that sleeps until one of the loop's own tasks is done sleeps for ever.
void future_state_base::refuse_own_loop(const char* what, const place& here) {
  if (!detail::loop_engine::drives(home_)) return;
  throw would_block(std::string(what) + " at " + to_string(here) + ": " + task_text(describe()) +
                    " runs on this thread's run_loop, which would wait for itself; co_await it");
}

void future_state_base::wait(const place& here) {
  if (!is_ready()) wait_helping(here);
  trace_point(trace_kind::join, this);
}

void future_state_base::wait_helping(const place& here) {
  const wait_how how{.deadline = nullptr, .stop = {}, .here = here, .what = "future::wait"};
  bool looked = false;
  if (this_worker != nullptr && help(*this_worker, looked, how)) return;
  looked ? sleep(how) : wait_for_others(how);
}

wait_target future_state_base::as_target() const noexcept {
  return {this, wait_rule::it_ends, "task", shown_name(describe())};
}

wait_result future_state_base::wait(const wait_how& how) {
  const wait_result result = is_ready() ? wait_result::ready : wait_for_others(how);
  if (result == wait_result::ready) trace_point(trace_kind::join, this);
  return result;
}

wait_result future_state_base::wait_for_others(const wait_how& how) {
  // A time limit leaves no time to run the task here: it could take longer than that.
  expedite(this_frame == nullptr ? 0 : this_frame->priority);
  if (this_worker == nullptr && how.deadline == nullptr && how.stop.empty()) attend();
  const auto done = [this] { return is_ready(); };
  if (const auto early = waiters_.spin(done, how)) return *early;
  return sleep(how);
}

wait_result future_state_base::sleep(const wait_how& how) {
  refuse_own_loop(how.what, how.here);
  status_.fetch_or(attended, std::memory_order_seq_cst);  // only now: it costs who settles a look at the lists
  const wait_target target = as_target();
  wait_how watched = how;
  watched.target = &target;
  return waiters_.sleep([this] { return is_ready(); }, watched);
}

// ---------------------------------------------------------------- stopping

bool future_state_base::cancel() noexcept {
  const state_ref<future_state_base> kept =
      (retain(), state_ref<future_state_base>(this));  // callbacks may drop the rest
  // One that begins in between is one that was asked to stop.
  const bool ends_at_home = !has_begun() && is_dropped_at_home();
  if (!ends_at_home && claim()) {
    drop();
    observe();  // `cancelled` is never unhandled
    std::exception_ptr why;
    try {
      why = std::make_exception_ptr(cancelled(task_text(describe()) + " was cancelled before it began"));
    } catch (...) {  // no memory for the text
      why = std::current_exception();
    }
    settle_error(std::move(why));
    cancel_sources();
    return true;
  }
  if (is_ready()) return false;
  request_stop();
  cancel_sources();
  return false;
}

void future_state_base::request_stop() noexcept {
  status_.fetch_or(stop, std::memory_order_seq_cst);
  if (stop_state* const state = stop_state_.load(std::memory_order_seq_cst)) state->source.request_stop();
  stopping();
}

std::stop_token future_state_base::stop_token() {
  stop_state* state = stop_state_.load(std::memory_order_acquire);
  if (state == nullptr) {
    const scheduler* const pool = this_frame == nullptr ? nullptr : this_frame->pool;
    auto made = std::make_unique<stop_state>(pool == nullptr ? std::stop_token() : pool->stop_token());
    // seq_cst on both words: request_stop sees our source, or we see its request.
    if (stop_state_.compare_exchange_strong(state, made.get(), std::memory_order_seq_cst)) state = made.release();
  }
  if ((status_.load(std::memory_order_seq_cst) & stop) != 0) state->source.request_stop();
  return state->source.get_token();
}

}  // namespace tutti
