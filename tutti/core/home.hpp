// home: finding the executor that a future came from, which may be gone by now.
#pragma once
#include <tutti/core/call.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

namespace tutti {

/// The working part of an executor: what still accepts calls when only its number is known.
class call_target {
 public:
  /// Takes a call. Throws `closed` after shutdown.
  virtual void start(call work) = 0;

  /// A coroutine is about to wait, and goes on here later: until `let_go`, this target lives and is not finished.
  /// `can_not`: it makes no such promise, and is to be looked up by number each time. By a thread that knows that the
  /// target lives; `from_outside`: it does not run what was handed in here.
  enum class hold_result : std::uint8_t { held, can_not, closed };
  virtual hold_result hold(bool from_outside) noexcept {
    static_cast<void>(from_outside);
    return hold_result::can_not;
  }
  virtual void let_go() noexcept {}
  /// Takes the next stretch of a coroutine that holds this target, also after shutdown.
  virtual void resume(call work) noexcept { static_cast<void>(work); }
  /// True once what waits here is to stop: shut down with `cancel`.
  virtual bool stopping() const noexcept { return false; }
  /// Whether all that was handed in here belongs to one thread, which is at it.
  virtual bool has_driver() const noexcept { return false; }

 protected:
  ~call_target() = default;
};

/// A number no other executor of this process ever had. 0 is none's.
std::uint64_t new_executor_id() noexcept;

/// A thread from outside that is inside a call_target for a coroutine which may be over, and the target unused, before
/// this thread is out again: who frees the target waits for it.
class visit {
 public:
  /// Null: not from outside.
  explicit visit(std::atomic<std::uint32_t>* visitors) noexcept : visitors_(visitors) {
    // seq_cst: before what makes the coroutine go on, and so before the look of who frees the target because of that.
    if (visitors_ != nullptr) visitors_->fetch_add(1, std::memory_order_seq_cst);
  }
  ~visit() {
    if (visitors_ != nullptr) visitors_->fetch_sub(1, std::memory_order_release);
  }
  visit(const visit&) = delete;
  visit& operator=(const visit&) = delete;
  static void wait_for_none(const std::atomic<std::uint32_t>& visitors) noexcept;

 private:
  std::atomic<std::uint32_t>* const visitors_;
};

/// Where a coroutine goes on: an executor by its number, and its working part if it can be held.
struct home_ref {
  std::uint64_t id = 0;
  call_target* target = nullptr;
};
/// The executor that runs this thread's code now; its number is 0 on threads that belong to none.
home_ref home_here() noexcept;
/// Executor `id`, held if it can be (then `target` is not null and to be let go), for a caller who knows that it lives;
/// nothing when it is shut down.
std::optional<home_ref> hold_home(std::uint64_t id) noexcept;
/// Whether what belongs to executor `id` is another thread's, which will come to it.
bool is_driven_elsewhere(std::uint64_t id) noexcept;
/// Whether it is the number that all inline executors share.
bool is_inline_home(std::uint64_t id) noexcept;

/// Makes `target` findable under `id` while it lives.
void register_home(std::uint64_t id, std::weak_ptr<call_target> target);
void forget_home(std::uint64_t id) noexcept;

/// Starts `work` on executor `id`, or on default_pool() when `id` is 0; completes it with `closed` when that executor
/// is shut down or gone. Never throws.
void start_at_home(std::uint64_t id, call work) noexcept;

}  // namespace tutti
