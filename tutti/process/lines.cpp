#include <tutti/process/lines.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/wait_list.hpp>

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace tutti {

lines::lines(const unique_fd& from) : from_(&from) {
  if (!from)
    throw std::invalid_argument("tutti::lines: no descriptor: give the stream of the process as stdio::pipe()");
}

bool lines::read() {
  line_.clear();
  for (;;) {
    const std::size_t end = ahead_.find('\n', at_);
    if (end != ahead_.npos) {
      line_.append(ahead_, at_, end - at_);
      at_ = end + 1;
      return true;
    }
    line_.append(ahead_, at_);
    before_sleeping();
    ahead_.resize(64 * 1024);
    at_ = 0;
    const ::ssize_t n = ::read(from_->get(), ahead_.data(), ahead_.size());
    const int error = errno;
    ahead_.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    if (n > 0) continue;
    if (n == 0) return !line_.empty();
    if (error == EAGAIN || error == EWOULDBLOCK) {
      ::pollfd readable{from_->get(), POLLIN, 0};
      ::poll(&readable, 1, -1);
    } else if (error != EINTR) {
      throw os_error::of("cannot read a line from descriptor " + std::to_string(from_->get()), error);
    }
  }
}

}  // namespace tutti
