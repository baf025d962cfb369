#include <tutti/core/future_state.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/unhandled.hpp>

#include <memory>

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

// ---------------------------------------------------------------- callbacks

namespace {

// Callbacks make other futures ready, whose callbacks make others ready, a million deep in a long chain: they are
// queued and called in a loop by the outermost call on this thread. What a callback runs may block all the same (a
// continuation on an inline executor), perhaps for what is queued behind it: that is called before it sleeps.
struct trampoline {
  ready_callback* head = nullptr;
  ready_callback** tail = nullptr;  // null before the first use: the address of head is not a constant
  bool running = false;
};
constinit thread_local trampoline pending;

}  // namespace

void future_state_base::call_pending() noexcept {
  while (pending.head != nullptr) {
    ready_callback* const callback = pending.head;
    pending.head = callback->next_;
    if (pending.head == nullptr) pending.tail = &pending.head;
    future_state_base* const state = callback->state_;
    callback->on_ready(*state);  // the callback may be gone after this
    state->release();
  }
}

void future_state_base::wake() noexcept {
  ready_callback* newest = nullptr;
  {
    const std::lock_guard lock(waiters_.mutex());
    newest = std::exchange(callbacks_, nullptr);
  }
  waiters_.wake_all();
  ready_callback* in_order = nullptr;
  while (newest != nullptr) {
    ready_callback* const callback = newest;
    newest = callback->next_;
    callback->next_ = std::exchange(in_order, callback);
  }
  if (in_order == nullptr) return;
  if (pending.tail == nullptr) pending.tail = &pending.head;
  for (ready_callback* callback = in_order; callback != nullptr; callback = callback->next_) {
    retain();  // until it was called
    callback->state_ = this;
    *pending.tail = callback;
    pending.tail = &callback->next_;
  }
  if (pending.running) return;
  pending.running = true;
  before_sleeping = call_pending;
  call_pending();
  before_sleeping = nullptr;
  pending.running = false;
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
bool future_state_base::help(worker& self, bool& looked) {
  if (home_ == 0) return run_here() && is_ready();  // made from futures of several pools: each part knows its own
  if (self.pool->executor_id() != home_) return false;
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

void future_state_base::wait(const place& here) {
  if (is_ready()) return;
  bool looked = false;
  if (this_worker != nullptr && help(*this_worker, looked)) return;
  const wait_how how{.deadline = nullptr, .stop = {}, .here = here, .what = "future::wait"};
  looked ? sleep(how) : wait(how);
}

wait_result future_state_base::wait(const wait_how& how) {
  if (is_ready()) return wait_result::ready;
  // A time limit leaves no time to run the task here: it could take longer than that.
  expedite(this_frame == nullptr ? 0 : this_frame->priority);
  const auto done = [this] { return is_ready(); };
  if (const auto early = waiters_.spin(done, how)) return *early;
  return sleep(how);
}

wait_result future_state_base::sleep(const wait_how& how) {
  status_.fetch_or(attended, std::memory_order_seq_cst);  // only now: it costs who settles a look at the lists
  return waiters_.sleep([this] { return is_ready(); }, how);
}

// ---------------------------------------------------------------- stopping

bool future_state_base::cancel() noexcept {
  const state_ref<future_state_base> kept =
      (retain(), state_ref<future_state_base>(this));  // callbacks may drop the rest
  if (claim()) {
    observe();  // `cancelled` is never unhandled
    settle_error(
        std::make_exception_ptr(cancelled(std::string("task ") + describe() + " was cancelled before it began")));
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
