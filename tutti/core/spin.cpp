#include <tutti/core/spin.hpp>

#include <tutti/core/concurrency.hpp>

#include <sched.h>

#include <utility>

namespace tutti {

namespace {

// Asked before main, not on first use: it reads files, and a child forked meanwhile would wait for the answer for ever.
const bool alone = default_concurrency() == 1;

constexpr unsigned together = 1U << 31;  // looks_ from here on: on one core with whom we wait for

}  // namespace

bool spinner::once() noexcept {
  if (alone) return false;  // nothing can happen while we hold the only core
  if (std::exchange(yield_first, false)) looks_ = together;
  if (looks_ >= together) [[unlikely]] {  // whoever we wait for cannot run while we look
    if (looks_ == together + 3) return false;
    ++looks_;
    ::sched_yield();
    return true;
  }
  ++looks_;
  cpu::pause();
  if (looks_ % 16 != 0) return true;
  const auto now = std::chrono::steady_clock::now();
  if (looks_ == 16) {
    end_ = now + budget_;
  } else if (now >= end_) {
    return false;
  }
  // On a core we share with whom we wait for, as the kernel likes to place two threads that wake each other, this is
  // what lets them run; on a core of our own it costs 0.2 us.
  ::sched_yield();
  return true;
}

}  // namespace tutti
