// child: a forked process that a test talks to, and kills at a point that both know.
#pragma once
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <tests/support/processes.hpp>
#include <type_traits>
#include <utility>

namespace tutti_test {

/// The child's side, or the parent's: bytes that go both ways.
class talk {
 public:
  explicit talk(int fd) noexcept : fd_(fd) {}
  talk(talk&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  talk& operator=(talk&&) = delete;
  ~talk() {
    if (fd_ >= 0) ::close(fd_);
  }
  void say(char what = '.') const {
    if (::send(fd_, &what, 1, MSG_NOSIGNAL) != 1) std::cerr << "the other side is gone\n";
  }
  /// Blocks; 0 when the other side is gone.
  char hear() const {
    char what = 0;
    while (::recv(fd_, &what, 1, 0) < 0 && errno == EINTR) {
    }
    return what;
  }
  /// Until it is killed.
  [[noreturn]] void wait_for_the_end() const {
    for (;;) ::pause();
  }

 private:
  int fd_;
};

/// A child that runs `f(const talk&)`, or `f()`, which returns its exit code; single-threaded, as the test must be when
/// it forks. It has the descriptors of the test. Killed at the end of its scope, and after two minutes.
class child {
 public:
  template <class F>
  explicit child(F f) : child(sockets(), std::move(f)) {}
  child(child&& other) noexcept : talk_(std::move(other.talk_)), pid_(std::exchange(other.pid_, 0)) {}
  child& operator=(child&&) = delete;
  ~child() {
    if (pid_ > 0) kill();
  }

  ::pid_t pid() const noexcept { return pid_; }
  void say(char what = '.') const { talk_.say(what); }
  /// Fails when it ends instead.
  void hear(char expected = '.') const { ASSERT_EQ(talk_.hear(), expected) << "process " << pid_; }

  /// Returns once it sleeps.
  void until_asleep() const { tutti_test::until_asleep(pid_); }

  /// Waits for its end: its exit code, or 1000 and the signal that killed it.
  int join() {
    if (pid_ <= 0) {
      ADD_FAILURE() << "there is no child any more, or never was one";
      return -1;
    }
    int status = 0;
    EXPECT_GT(::waitpid(std::exchange(pid_, 0), &status, 0), 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  int kill() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);  // others would be all of a group, or everybody
    return join();
  }
  /// Dead, but not waited for: its pid is still taken.
  void kill_to_zombie() const {
    ::kill(pid_, SIGKILL);
    ::siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<::id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
  }

 private:
  struct both {
    int ends[2];
  };
  static both sockets() {
    both result{};
    std::fflush(nullptr);  // or the child might write it, too
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, result.ends) != 0) std::abort();
    return result;
  }
  template <class F>
  child(both made, F f) : talk_(made.ends[0]), pid_(::fork()) {
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::alarm(120);
      ::close(made.ends[0]);
      int code = 99;
      try {
        const talk parent(made.ends[1]);
        if constexpr (std::is_invocable_v<F, const talk&>) {
          code = f(parent);
        } else {
          code = f();
        }
      } catch (const std::exception& e) {
        std::cerr << "in the child: " << e.what() << '\n';
      }
      ::_exit(code);
    }
    ::close(made.ends[1]);
  }

  talk talk_;
  ::pid_t pid_;
};

}  // namespace tutti_test
