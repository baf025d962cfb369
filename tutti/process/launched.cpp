// The near side of one process that was asked for.
#include <tutti/base/at_fork.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/wait_list.hpp>
#include <tutti/process/launcher.hpp>
#include <tutti/process/machine_time.hpp>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>

namespace tutti::detail {

void launched::become(state next) noexcept {
  state_.store(next, std::memory_order_seq_cst);
  waiters_.wake_all();
}

void launched::wait_started() {
  waiters_.wait([this] { return now() != state::starting; }, wait_how{.what = "start of a process"});
  if (now() == state::failed) std::rethrow_exception(failure_);
}

wait_result launched::wait_over(const wait_how& how) {
  return waiters_.wait([this] { return is_over(); }, how);
}

bool launched::is_of_this_process() const noexcept { return by_->forks_ == forks_before_this_process(); }

bool launched::ends_until(std::chrono::steady_clock::time_point deadline) const noexcept {
  const unique_fd ended(static_cast<int>(::syscall(SYS_pidfd_open, pid(), 0)));
  const int error = errno;
  if (is_over()) return true;
  if (!ended && error == ESRCH) return true;  // its launcher has waited for it already
  // Without a descriptor to be had this looks again and again.
  constexpr std::chrono::milliseconds pause(1);
  before_sleeping();
  for (;;) {
    ::pollfd polled{ended.get(), POLLIN, 0};
    const auto until = ended ? deadline : std::min(deadline, std::chrono::steady_clock::now() + pause);
    if (::poll(&polled, 1, milliseconds_until(until)) > 0 || is_over()) return true;
    if (std::chrono::steady_clock::now() >= deadline) return false;
  }
}

void launched::signal(int number) noexcept { by_->signal(id_, number); }

}  // namespace tutti::detail
