#include <tutti/process/no_sigpipe.hpp>

#include <cerrno>
#include <ctime>

namespace tutti::detail {
namespace {

::sigset_t just_sigpipe() noexcept {
  ::sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGPIPE);
  return set;
}

}  // namespace

no_sigpipe::no_sigpipe() noexcept {
  const ::sigset_t pipe = just_sigpipe();
  ::pthread_sigmask(SIG_BLOCK, &pipe, &before_);
  ::sigset_t pending;
  ::sigemptyset(&pending);
  ::sigpending(&pending);
  was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;  // somebody else's, which stays
}

// A write raises it for the thread that writes, and that one is taken before those that are for the whole process.
no_sigpipe::~no_sigpipe() {
  if (raised_ && !was_pending_) {
    const ::sigset_t pipe = just_sigpipe();
    const ::timespec at_once{};
    while (::sigtimedwait(&pipe, nullptr, &at_once) < 0 && errno == EINTR) {
    }
  }
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace tutti::detail
