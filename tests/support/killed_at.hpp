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
#include <numeric>
#include <tests/support/choices.hpp>
#include <vector>

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
  /// As many more, or fewer when it comes to its end before; how many.
  int steps(int most) {
    int made = 0;
    while (made < most && step()) ++made;
    return made;
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

/// No f has more.
inline constexpr int most_steps = 100'000;

/// All points of what takes so many steps, or as many of them as seconds allow, chosen by chance.
inline std::vector<int> points_of(int all, std::uint64_t salt) {
  constexpr int steps_in_all = 600'000;
  choices choose(salt);
  EXPECT_GT(all, 10);
  EXPECT_LT(all, most_steps);
  std::vector<int> points(static_cast<std::size_t>(std::min(all, steps_in_all / std::max(all, 1))));
  std::iota(points.begin(), points.end(), 0);
  if (points.size() < static_cast<std::size_t>(all))
    for (int& point : points) point = static_cast<int>(choose.below(static_cast<unsigned>(all)));
  return points;
}

/// Runs `f` in a forked child, one instruction after the other, and kills it after `steps` of them. How many it made:
/// as many, or fewer when it came to its end before.
template <class F>
int killed_at(int steps, F f) {
  return stepped(f, f).steps(steps);
}

/// Calls `prepare`, then runs `f` up to a point where it is killed, then calls `check`: for all points of f, or for as
/// many as seconds allow, chosen by chance.
template <class Prepare, class F, class Check>
void at_every_point(Prepare prepare, F f, Check check, std::uint64_t salt) {
  prepare();
  const int all = killed_at(most_steps, f);
  check();
  for (const int point : points_of(all, salt)) {
    prepare();
    killed_at(point, f);
    check();
    if (testing::Test::HasFailure()) FAIL() << "killed after " << point << " of " << all << " steps";
  }
}

}  // namespace tutti_test
