#include <tutti/core/spin.hpp>

#include <tutti/core/concurrency.hpp>

#include <sched.h>

namespace tutti {

bool spinner::once() noexcept {
  static const bool alone = default_concurrency() == 1;  // nothing can happen while we hold the only core
  if (alone) return false;
  ++looks_;
  cpu::pause();
  if (looks_ % 16 != 0) return true;
  const auto now = std::chrono::steady_clock::now();
  if (looks_ == 16) {
    end_ = now + budget_;
  } else if (now >= end_) {
    return false;
  }
  if (looks_ % 128 == 0) ::sched_yield();
  return true;
}

}  // namespace tutti
