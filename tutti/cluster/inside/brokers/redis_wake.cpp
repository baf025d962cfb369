#include <sys/eventfd.h>
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/brokers/redis_wake.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace tutti::cluster::detail {

redis_wake::redis_wake() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!fd_) throw os_error::of("cannot make an eventfd", errno);
}

void redis_wake::set() noexcept {
  set_.store(true);
  nudge();
}

void redis_wake::nudge() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ::ssize_t n = ::write(fd_.get(), &one, sizeof one);  // fails only when it is set 2^64 times
}

bool redis_wake::wait(std::vector<::pollfd>& fds, std::chrono::steady_clock::time_point until) {
  fds.push_back({fd_.get(), POLLIN, 0});
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) throw os_error::of("cannot poll", errno);
    std::uint64_t count = 0;
    if (fds.back().revents != 0) [[maybe_unused]]
      const ::ssize_t n = ::read(fd_.get(), &count, sizeof count);
    return ready > 0;
  }
}

bool redis_wake::wait(std::chrono::steady_clock::time_point until) {
  std::vector<::pollfd> none;
  return wait(none, until);
}

std::chrono::steady_clock::time_point redis_deadline(std::chrono::nanoseconds patience) noexcept {
  const auto now = std::chrono::steady_clock::now();
  using point = std::chrono::steady_clock::time_point;
  return patience >= point::max() - now ? point::max() : now + patience;
}

}  // namespace tutti::cluster::detail
