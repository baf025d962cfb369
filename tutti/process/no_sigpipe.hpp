// no_sigpipe: writing to a pipe that nobody reads is an error, not a signal.
#pragma once
#include <csignal>

namespace tutti::detail {

/// While it lives, SIGPIPE from this thread's own writes is swallowed; handlers and other threads are not touched.
class no_sigpipe {
 public:
  no_sigpipe() noexcept;
  ~no_sigpipe();
  no_sigpipe(const no_sigpipe&) = delete;
  no_sigpipe& operator=(const no_sigpipe&) = delete;

 private:
  ::sigset_t before_{};
  bool was_pending_ = false;
};

}  // namespace tutti::detail
