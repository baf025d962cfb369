#include <tutti/process/no_sigpipe.hpp>

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
  ::sigset_t pending;
  ::sigemptyset(&pending);
  ::sigpending(&pending);
  was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;  // somebody else's, which stays
  const ::sigset_t pipe = just_sigpipe();
  ::pthread_sigmask(SIG_BLOCK, &pipe, &before_);
}

// A write raises it for the thread that writes, so what is pending now and was not before is ours.
no_sigpipe::~no_sigpipe() {
  const ::sigset_t pipe = just_sigpipe();
  const ::timespec at_once{};
  if (!was_pending_) {
    while (::sigtimedwait(&pipe, nullptr, &at_once) == SIGPIPE) {
    }
  }
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace tutti::detail
