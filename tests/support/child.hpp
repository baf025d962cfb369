// child: a forked process that a test talks to, and kills at a point that both know.
#pragma once
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>

namespace tutti_test {

/// The child's side, or the parent's: bytes that go both ways.
class talk {
 public:
  explicit talk(int fd) noexcept : fd_(fd) {}
  talk(const talk&) = delete;
  talk& operator=(const talk&) = delete;
  ~talk() { ::close(fd_); }
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

/// A child that runs `f(const talk&)`, which returns its exit code; single-threaded, as the test must be when it forks.
/// Killed at the end of its scope, and after two minutes.
class child {
 public:
  template <class F>
  explicit child(F f) : child(sockets(), std::move(f)) {}
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() { kill(); }

  ::pid_t pid() const noexcept { return pid_; }
  void say(char what = '.') const { talk_.say(what); }
  /// Fails when it ends instead.
  void hear(char expected = '.') const { ASSERT_EQ(talk_.hear(), expected) << "process " << pid_; }

  /// Returns once it sleeps.
  void until_asleep() const {
    for (std::string text; text.compare(text.rfind(')') + 1, 2, " S") != 0; ::sched_yield()) {
      std::ifstream in("/proc/" + std::to_string(pid_) + "/stat");
      ASSERT_TRUE(std::getline(in, text)) << "process " << pid_ << " is gone";
    }
  }

  void kill() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    reap();
  }
  /// Dead, but not waited for: its pid is still taken.
  void kill_to_zombie() const {
    ::kill(pid_, SIGKILL);
    ::siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<::id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
  }
  /// Its exit code, when it has come to its end by itself; else -1.
  int exit_code() {
    const int status = reap();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
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
        code = f(parent);
      } catch (const std::exception& e) {
        std::cerr << "in the child: " << e.what() << '\n';
      }
      ::_exit(code);
    }
    ::close(made.ends[1]);
  }
  int reap() {
    int status = 0;
    if (pid_ != 0) ::waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }

  talk talk_;
  ::pid_t pid_;
};

}  // namespace tutti_test
