#include <tutti/core/task_state.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/core/wait_graph.hpp>

#include <algorithm>
#include <cstdio>
#include <new>
#include <optional>
#include <stdexcept>

namespace tutti {

struct task_state_base::extras {
  std::optional<std::chrono::nanoseconds> timeout;
  int retries = 0;
  std::chrono::steady_clock::time_point deadline{};
  std::optional<std::stop_callback<cancel_on_stop>> on_stop;
};

void task_state_base::configure(const call_options& options, const char* default_name) {
  name_ = options.name.empty() ? default_name : intern(options.name);
  priority_ = options.priority;
  if (options.retries < 0)
    throw std::invalid_argument(task_text(name_) + ": " + std::to_string(options.retries) + " retries; give 0 or more");
  if (!options.timeout && options.retries == 0 && options.stop.empty()) return;
  extras_ = new extras;
  extras_->timeout = options.timeout;
  extras_->retries = options.retries;
  if (options.stop.empty()) return;
  state().allow_try_retain();
  extras_->on_stop.emplace(options.stop.token(), cancel_on_stop{&state()});
}

void task_state_base::delete_extras() noexcept { delete std::exchange(extras_, nullptr); }

std::optional<std::chrono::steady_clock::time_point> task_state_base::call_deadline() const noexcept {
  if (extras_ == nullptr || !extras_->timeout) return std::nullopt;
  return extras_->deadline;
}

call_limits task_state_base::limits() const noexcept {
  return extras_ == nullptr ? call_limits() : call_limits{extras_->timeout, extras_->retries};
}

void task_state_base::run() noexcept {
  future_state_base& result = state();
  if (!result.claim()) return result.release();
  execute();
}

void task_state_base::abandon(std::exception_ptr error) noexcept {
  future_state_base& result = state();
  if (result.claim()) result.settle_error(std::move(error));
  result.release();
}

bool task_state_base::run_if_home() noexcept {
  if (!state().claim()) return false;
  state().retain();
  execute();
  return true;
}

void task_state_base::execute() noexcept {
  worker* const self = this_worker;
  // Who waits for it lends its priority, whether it runs it on top of itself or somewhere else.
  int priority = std::max(priority_, lent_.load(std::memory_order_relaxed));
  if (this_frame != nullptr) priority = std::max(priority, this_frame->priority);
  task_frame frame{this_frame, name_, &state(), values_.get(), self == nullptr ? nullptr : self->pool, priority, 0};
  const char* outer = nullptr;
  if (self != nullptr) {
    const root here = self->here();
    frame.fork_base = here.fork_base;
    state().runs_at(here);
    outer = self->task_name.load(std::memory_order_relaxed);
    self->task_name.store(name_, std::memory_order_release);
  }
  const void* const shown = &state();
  const call_node* const queued = this;
  trace_point(trace_kind::task_begin, queued, name_);
  frame.party = &state();
  this_frame = &frame;
  attempt_until_done();
  this_frame = frame.parent;  // from here on this call may be gone
  wait_graph::ended(shown);
  trace_point(trace_kind::task_end, queued, shown);
  if (self == nullptr) return;
  self->task_name.store(outer, std::memory_order_release);
  self->forks.end_root();
}

timer task_state_base::arm_timeout() {
  extras_->deadline = detail::time_after(*extras_->timeout);
  state().retain();
  state_ref<future_state_base> kept(&state());
  return call_at(extras_->deadline, [kept = std::move(kept), name = name_, limit = *extras_->timeout] {
    // The task cannot be killed; its result is dropped, and it is asked to stop.
    kept->settle_error(std::make_exception_ptr(timed_out(timeout_text(name, limit))));
    kept->request_stop();
  });
}

void task_state_base::attempt_until_done() noexcept {
  timer expiry;
  int retries = 0;
  if (extras_ != nullptr) [[unlikely]] {
    retries = extras_->retries;
    if (extras_->timeout) {
      try {
        expiry = arm_timeout();
      } catch (...) {  // no memory, or no thread for the timers: better fail than run without the limit
        state().settle_error(std::current_exception());
        return state().release();
      }
    }
  }
  for (;; --retries) {
    std::exception_ptr error;
    try {
      invoke(/*last=*/retries <= 0);
      break;
    } catch (...) {
      error = std::current_exception();
    }
    // Behind the handler, so that it is the reader, not this thread, that gives the exception up.
    if (retries > 0 && !state().is_ready() && !this_task::stop_requested() && is_retryable(error)) continue;
    state().settle_error(std::move(error));
    state().release();
    break;
  }
  expiry.cancel();
}

namespace {

// A second entry in the queue for a call whose waiter has a higher priority; whichever entry comes first runs it.
class expedited final : public call_node {
 public:
  expedited(call_node& call, future_state_base& state, int priority) noexcept : call_(call), state_(state) {
    state.retain();
    name_ = call.name();
    priority_ = priority;
  }
  void run() noexcept override {
    call_.run();
    delete this;
  }
  // The call's own entry is still queued: only this one is dropped.
  void abandon(std::exception_ptr) noexcept override {
    state_.release();
    delete this;
  }

 private:
  call_node& call_;
  future_state_base& state_;
};

}  // namespace

void expedite_queued(call_node& queued, future_state_base& state, int priority) noexcept {
  // Without memory for it, the call begins when its own entry's turn comes.
  if (auto* const entry = new (std::nothrow) expedited(queued, state, priority))
    start_at_home(state.home(), call(entry));
}

void task_state_base::expedite_call(int priority) noexcept {
  int seen = std::max(priority_, lent_.load(std::memory_order_relaxed));
  if (priority <= seen) return;
  for (seen = lent_.load(std::memory_order_relaxed);
       priority > seen && !lent_.compare_exchange_weak(seen, priority, std::memory_order_relaxed);) {
  }
  expedite_queued(*this, state(), priority);
}

}  // namespace tutti
