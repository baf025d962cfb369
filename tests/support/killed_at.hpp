// killed_at: a process that is killed after so many instructions: at every point of what it does, one after the other.
#pragma once
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <tests/support/choices.hpp>

namespace tutti_test {

/// A forked child that does `before`, stands still, and is then led through `f`, one instruction after the other.
class stepped {
 public:
  template <class Before, class F>
  stepped(Before before, F f) {
    std::fflush(nullptr);  // or the child might write it, too
    child_ = ::fork();
    if (child_ == 0) {
      ::alarm(120);
      if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(98);
      before();
      ::raise(SIGSTOP);
      f();
      ::_exit(0);
    }
    ::waitpid(child_, &status_, 0);
  }
  ~stepped() { kill(); }
  stepped(const stepped&) = delete;
  stepped& operator=(const stepped&) = delete;

  /// One more instruction. False when it is at its end, or was before.
  bool step() {
    if (!WIFSTOPPED(status_)) return false;
    ::ptrace(PTRACE_SINGLESTEP, child_, nullptr, nullptr);
    ::waitpid(child_, &status_, 0);
    return true;
  }
  /// Kills it where it stands; nothing when it is at its end.
  void kill() {
    if (WIFSTOPPED(status_)) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, &status_, 0);
    } else if (child_ != 0) {
      EXPECT_EQ(status_, 0) << "it should have come to its end, or been killed";
    }
    child_ = 0;
  }

 private:
  ::pid_t child_ = 0;
  int status_ = 0;
};

/// Runs `f` in a forked child, one instruction after the other, and kills it after `steps` of them. How many it made:
/// as many, or fewer when it came to its end before.
template <class F>
int killed_at(int steps, F f) {
  stepped child(f, f);
  int made = 0;
  while (made < steps && child.step()) ++made;
  return made;
}

/// Calls `prepare`, then runs `f` up to a point where it is killed, then calls `check`: for all points of f, or for as
/// many as seconds allow, chosen by chance.
template <class Prepare, class F, class Check>
void at_every_point(Prepare prepare, F f, Check check, std::uint64_t salt) {
  constexpr int too_many = 100'000, steps_in_all = 600'000;
  choices choose(salt);
  prepare();
  const int all = killed_at(too_many, f);

  check();
  ASSERT_GT(all, 10);
  ASSERT_LT(all, too_many);
  const int points = std::min(all, steps_in_all / all);
  for (int i = 0; i < points; ++i) {
    const int point = points == all ? i : static_cast<int>(choose.below(static_cast<unsigned>(all)));
    prepare();
    killed_at(point, f);
    check();
    if (testing::Test::HasFailure()) FAIL() << "killed after " << point << " of " << all << " steps";
  }
}

}  // namespace tutti_test
