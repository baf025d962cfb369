// port: one side of something that elements go through: where they are sent, or received, and who waits for that.
//
// Channels, their ends, broadcasts and subscriptions are made of ports; every form of waiting (cases.hpp) and select
// are written against ports alone.
#pragma once
#include <tutti/core/wait_list.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tutti::detail {

/// How a look at a port went.
enum class attempt : std::uint8_t {
  done,      ///< the element has been moved
  not_now,   ///< full, empty, or nobody to meet
  closed,    ///< never again
  poisoned,  ///< never again, by force
};

/// Marks, in the outcome of a ticket, that the element was moved too; the rest is the index of the case.
inline constexpr std::uint32_t delivered = 0x80000000U;

class port {
 public:
  port(const port&) = delete;
  port& operator=(const port&) = delete;

  /// Moves an element out of `value` (a port to send to) or constructs one there (a port to receive from), if it can be
  /// had at once, and wakes who waits for that on the other side. Only what is done touches `value`.
  virtual attempt try_now(void* value) noexcept = 0;
  /// Whether try_now may have something to say. seq_cst: asked after the asker has entered `waiters` and called
  /// `settle`, while the other side changes its state and then looks into `waiters`, so one of the two sees the other.
  virtual bool looks_ready() const noexcept = 0;
  /// By who has entered `waiters`, before it looks: a fence on both sides, unless the other side has its own.
  /// `for_good`: it has from now on.
  virtual void settle(bool for_good) noexcept { static_cast<void>(for_good); }
  /// How many elements could be sent or received now.
  virtual std::size_t backlog() const noexcept { return 0; }

  /// For how many pauses of the processor a thread that waits looks away first. Each look takes the line that the other
  /// side counts in away from it: looked at too often, that gets no further than one element at a time.
  std::uint32_t patience() const noexcept { return patience_.load(std::memory_order_relaxed); }
  /// After a wait: longer when it has brought a batch, shorter when a few elements, which then came late.
  void learn() noexcept {
    const std::uint32_t now = patience();
    const bool batch = backlog() > 2 + now / 4;
    patience_.store(batch ? std::min(2 * now + 1, most_patience_) : now / 2, std::memory_order_relaxed);
  }

  /// Of ports with a `meeting`, which is held by the caller: try_now, but whom to wake is the caller's to wake.
  virtual attempt meet(void* value, wake_up& other) noexcept {
    other = wake_up();
    return try_now(value);
  }
  /// Throws the error that says why the port is closed.
  [[noreturn]] virtual void refuse(attempt why) const = 0;

  wait_list& waiters;                     ///< who waits for this side
  small_mutex* meeting = nullptr;         ///< of a rendezvous: who meets whom is decided under it
  wait_target target;                     ///< who can end a wait here, as far as known
  const wait_target* own_side = nullptr;  ///< of ends: the waiter and those who hold the others of its side, any of
                                          ///< whom could end it too, by poison

 protected:
  port(wait_list& list, const wait_target& of) noexcept : waiters(list), target(of) {}
  ~port() = default;
  void may_learn_up_to(std::uint32_t most) noexcept { most_patience_ = most; }

 private:
  std::uint32_t most_patience_ = 0;
  std::atomic<std::uint32_t> patience_{0};  // a hint: changes may get lost
};

}  // namespace tutti::detail
