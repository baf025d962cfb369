// pool_section: a stretch under a process_pool's mutex_, and what must be done right after it.
#pragma once
#include <tutti/core/future_state.hpp>
#include <tutti/core/sleep_hook.hpp>
#include <tutti/process/pool_core.hpp>

#include <new>
#include <optional>

namespace tutti::detail {

/// While one lives, the callbacks of what this thread completes are queued, and called at its end: so one of them can
/// wait for what is completed after its own call.
class callbacks_later {
 public:
  callbacks_later() noexcept {
    if (sleep_hook_now != nullptr) return;  // they are queued already
    last_ = new (std::nothrow) last;
    if (last_ == nullptr) return;
    last_->when_ready(*last_);
    sleep_hook_now = []() noexcept {
      if (before_callbacks_sleep != nullptr) before_callbacks_sleep();
    };
  }
  ~callbacks_later() {
    if (last_ == nullptr) return;
    sleep_hook_now = nullptr;
    last_->settle_and_release();  // calls what is queued, and its own callback behind that
  }
  callbacks_later(const callbacks_later&) = delete;
  callbacks_later& operator=(const callbacks_later&) = delete;

 private:
  // Lives until its callback was called, perhaps on another thread.
  struct last final : future_state<void>, ready_callback {
    last() noexcept : future_state<void>(1) {}
    void on_ready(future_state_base& /*state*/) noexcept override {}
  };
  last* last_ = nullptr;
};

/// Completing a call runs foreign code, and so does destroying its arguments: both wait for the end of the section.
class pool_core::section {
 public:
  explicit section(pool_core& pool) : pool_(pool), lock_(pool.mutex_) {}
  ~section() { leave(); }
  section(const section&) = delete;
  section& operator=(const section&) = delete;

  /// The job, which is in no list, is over; its call fails with `error`, or, if that is null, has its end already.
  void end(job& one, std::exception_ptr error) noexcept {
    one.error = std::move(error);
    ended_.push_back(one);
    ++pool_.counts_.completed;
  }
  [[nodiscard]] bool has_ended_any() const noexcept { return !ended_.empty(); }
  /// Unlocks and does it.
  void leave() noexcept {
    if (!lock_.owns_lock()) return;
    lock_.unlock();
    const std::size_t count = ended_.size();
    std::optional<callbacks_later> together;
    if (count > 1) together.emplace();
    while (job* const one = ended_.front()) {
      ended_.erase(*one);
      complete(*one);
      delete one;
    }
    if (count != 0 && pool_.left_.fetch_sub(count, std::memory_order_seq_cst) == count) pool_.drained_.wake_all();
    // Whoever collects may wait for one of these.
    if (count != 0) ring(pool_.bell_);
  }

 private:
  static void complete(job& one) noexcept {
    if (one.error == nullptr) return;
    if (one.work.operator->() != nullptr) {
      std::move(one.work).abandon(std::move(one.error));
    } else if (one.target != nullptr) {
      one.target->fail(std::move(one.error));
    }
  }

  pool_core& pool_;
  std::unique_lock<std::mutex> lock_;
  job_list ended_;
};

}  // namespace tutti::detail
