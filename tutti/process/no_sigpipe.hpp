// no_sigpipe: writing to a pipe that nobody reads is an error, not a signal.
#pragma once
#include <csignal>

namespace tutti::detail {

/// While it lives, SIGPIPE is kept from this thread; handlers and other threads are not touched. What its own writes
/// raise is taken back at the end, if `raised` says so: one that somebody else has sent meanwhile arrives then.
class no_sigpipe {
 public:
  no_sigpipe() noexcept;
  ~no_sigpipe();
  no_sigpipe(const no_sigpipe&) = delete;
  no_sigpipe& operator=(const no_sigpipe&) = delete;

  /// A write has failed with EPIPE.
  void raised() noexcept { raised_ = true; }

 private:
  ::sigset_t before_{};
  bool was_pending_ = false;
  bool raised_ = false;
};

}  // namespace tutti::detail
