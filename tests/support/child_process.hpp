// child_process: forked children of tests, which end with them; and what the kernel says of a process.
#pragma once
#include <dirent.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <string>
#include <utility>

namespace tutti_test {

/// Whether the first thread of the process sleeps.
inline bool is_asleep(::pid_t id) {
  std::ifstream in("/proc/" + std::to_string(id) + "/stat");
  std::string text;
  std::getline(in, text);
  return text.compare(text.rfind(')') + 1, 2, " S") == 0;
}
inline void until_asleep(::pid_t id) {
  while (!is_asleep(id)) ::sched_yield();
}

/// A child that runs `f`, which returns an int, with the descriptors it inherits; killed, if it is still there, when
/// this ends. Fork no children while threads run.
class child_process {
 public:
  template <class F>
  explicit child_process(F f) : id_(::fork()) {
    if (id_ != 0) return;
    ::alarm(60);
    int code = 99;
    try {
      code = f();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "child: %s\n", e.what());
    }
    ::_exit(code);
  }
  child_process(child_process&& other) noexcept : id_(std::exchange(other.id_, 0)) {}
  child_process& operator=(child_process&&) = delete;
  ~child_process() {
    if (id_ > 0) kill();
  }

  ::pid_t id() const { return id_; }
  /// What it returned, or 1000 and the signal that killed it.
  int join() {
    int status = 0;
    EXPECT_GT(::waitpid(std::exchange(id_, 0), &status, 0), 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  int kill() {
    ::kill(id_, SIGKILL);
    return join();
  }

 private:
  ::pid_t id_;
};

inline int open_descriptors() {
  ::DIR* const all = ::opendir("/proc/self/fd");
  int count = 0;
  while (::readdir(all) != nullptr) ++count;
  ::closedir(all);
  return count;
}

/// A test that ends when it hangs, and leaves no descriptor behind.
class clean_test : public testing::Test {
 protected:
  void SetUp() override {
    ::alarm(120);
    before_ = open_descriptors();
  }
  void TearDown() override {
    EXPECT_EQ(open_descriptors(), before_);
    ::alarm(0);
  }

 private:
  int before_ = 0;
};

/// What `f` throws says.
template <class F>
std::string text_of(F f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing was thrown";
}

}  // namespace tutti_test
