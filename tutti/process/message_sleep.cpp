#include <tutti/process/message_sleep.hpp>

#include <tutti/base/error.hpp>

#include <poll.h>

#include <cerrno>
#include <chrono>

namespace tutti::detail {

bool poll_until(int fd, short events, const message_wait& how) {
  ::pollfd one{fd, events, 0};
  for (;;) {
    const auto left = how.left();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const ::timespec limit{seconds.count(), (left - seconds).count()};
    const int n = ::ppoll(&one, 1, how.is_endless() ? nullptr : &limit, nullptr);
    if (n >= 0) return n > 0;
    if (errno != EINTR) throw os_error::of("cannot wait for another process", errno);
  }
}

}  // namespace tutti::detail
