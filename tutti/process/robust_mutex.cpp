#include <tutti/process/robust_mutex.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/process_futex.hpp>

#include <algorithm>
#include <cerrno>
#include <string>

namespace tutti::detail {
namespace {

void check(int result) {
  if (result != 0) throw os_error::of("cannot make a lock between processes", result);
}

}  // namespace

robust_mutex::robust_mutex() {  // NOLINT(cppcoreguidelines-pro-type-member-init): pthread_mutex_init does
  ::pthread_mutexattr_t how;
  check(::pthread_mutexattr_init(&how));
  int result = ::pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
  if (result == 0) result = ::pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
  if (result == 0) result = ::pthread_mutexattr_settype(&how, PTHREAD_MUTEX_ERRORCHECK);
  if (result == 0) result = ::pthread_mutex_init(&mutex_, &how);
  ::pthread_mutexattr_destroy(&how);
  check(result);
}

robust_mutex::outcome robust_mutex::judge(int result) {
  switch (result) {
    case 0: return outcome::taken;
    case EOWNERDEAD:
      // At once: unlocked without it, the mutex would be lost for ever. Whoever dies before this line leaves it as it
      // was for the next.
      check(::pthread_mutex_consistent(&mutex_));
      return outcome::taken_from_dead;
    case EBUSY:
    case ETIMEDOUT: return outcome::busy;
    case EDEADLK: return outcome::mine;
    default: throw os_error::of("cannot lock between processes", result);
  }
}

robust_mutex::outcome robust_mutex::try_lock() { return judge(::pthread_mutex_trylock(&mutex_)); }

robust_mutex::outcome robust_mutex::lock() {
  for (spinner spin(spinner::before_sleep);;) {
    const outcome result = try_lock();
    if (result != outcome::busy) return result;
    if (!spin.once()) return block_until(std::chrono::steady_clock::time_point::max());
  }
}

// The kernel wakes a sleeper for an owner that was killed between its unlock and its wake-up only while nobody else has
// taken the lock in between; the one who has knows of no sleepers. So nobody sleeps on without looking now and then.
robust_mutex::outcome robust_mutex::block_until(std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    const auto next_look = std::min(deadline, std::chrono::steady_clock::now() + slow_look);
    const ::timespec until = kernel_time(next_look);
    const outcome result = judge(::pthread_mutex_clocklock(&mutex_, CLOCK_MONOTONIC, &until));
    if (result != outcome::busy || next_look == deadline) return result;
  }
}

bool robust_mutex::unlock() noexcept { return ::pthread_mutex_unlock(&mutex_) == 0; }

robust_guard::robust_guard(robust_mutex& mutex, const char* what) : mutex_(mutex), from_dead_(false) {
  const auto result = mutex.lock();
  if (result == robust_mutex::outcome::mine)
    throw deadlock(std::string(what) + " was called inside itself, on the same thread, and would wait for itself");
  from_dead_ = result == robust_mutex::outcome::taken_from_dead;
}

}  // namespace tutti::detail
