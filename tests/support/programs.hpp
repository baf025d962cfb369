// programs: tests that are programs of their own: started from this test program, killed, and looked at from outside.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <tests/support/processes.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/process/process.hpp>
#include <vector>

namespace tutti_test {

/// The most that anything here may take before it counts as a hang.
inline constexpr std::chrono::seconds hang{30};

/// The command that runs one disabled test of this program: SUITE.DISABLED_NAME.
inline std::vector<std::string> program_of(const std::string& test) {
  return {std::filesystem::read_symlink("/proc/self/exe").string(), "--gtest_filter=" + test,
          "--gtest_also_run_disabled_tests", "--gtest_brief=1"};
}

/// Ends the process as a wild pointer does. Sanitizers have a handler, and see the null pointer before.
inline void segfault() {
  ::signal(SIGSEGV, SIG_DFL);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  ::raise(SIGSEGV);
#else
  *const_cast<volatile int*>(static_cast<int*>(nullptr)) = 1;
#endif
}

/// A process to be waited for that is not ours to wait for. None when it is gone already.
inline tutti::unique_fd watch(::pid_t id) {
  return tutti::unique_fd(static_cast<int>(::syscall(SYS_pidfd_open, id, 0)));
}

/// Whether it ends, within the limit of a hang.
inline bool ends(const tutti::unique_fd& watched) {
  if (!watched) return true;
  ::pollfd ask{watched.get(), POLLIN, 0};
  int got = 0;
  while ((got = ::poll(&ask, 1, static_cast<int>(std::chrono::milliseconds(hang).count()))) < 0 && errno == EINTR) {
  }
  return got == 1;
}
inline bool ends(::pid_t id) { return ends(watch(id)); }

/// A test that ends when it hangs, and whose descriptors are closed in the end: some are by another thread, soon.
class tidy_test : public testing::Test {
 protected:
  void SetUp() override {
    ::alarm(120);
    tutti::process::exec({"true"}).join();  // what starts processes stays, with its socket
    before_ = open_descriptors();
  }
  void TearDown() override {
    if (IsSkipped()) return;
    EXPECT_LE(settled_descriptors(before_), before_);
    ::alarm(0);
  }

 private:
  int before_ = 0;
};

/// "12 (sh) S" of each child of this process.
inline std::vector<std::string> children() {
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string id = entry.path().filename();
    if (id.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream in(entry.path() / "stat");
    std::string text;
    if (!std::getline(in, text)) continue;
    const std::size_t at = text.rfind(')');
    if (at == std::string::npos || at + 4 > text.size()) continue;
    if (std::stoi(text.substr(at + 4)) == ::getpid()) all.push_back(text.substr(0, at + 3));
  }
  return all;
}

/// A program of which this process gets all that it leaves behind; for processes that have no other children.
class kept_program {
 public:
  explicit kept_program(const std::string& test) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    out_.reset(ends[0]);
    const std::vector<std::string> words = program_of(test);
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], 1);
      ::execv(arguments[0], arguments.data());
      ::_exit(127);
    }
    ::close(ends[1]);
  }
  kept_program(const kept_program&) = delete;
  kept_program& operator=(const kept_program&) = delete;

  ::pid_t pid() const noexcept { return pid_; }
  /// What it, or who has its standard output, writes; blocks; 0 at the end.
  char hear() const {
    char what = 0;
    return ::read(out_.get(), &what, 1) == 1 ? what : '\0';
  }
  /// Until nobody has its standard output any more.
  bool is_silent() const {
    for (char buffer[256];;) {
      ::pollfd ask{out_.get(), POLLIN, 0};
      if (::poll(&ask, 1, static_cast<int>(std::chrono::milliseconds(hang).count())) != 1) return false;
      if (::read(out_.get(), buffer, sizeof buffer) <= 0) return true;
    }
  }
  /// Waits until it and all its descendants have ended. How it ended, as wait says. What has not is a failure, and
  /// killed, after `limit`.
  int end_of_all(std::chrono::seconds limit = hang) {
    int status = -1;
    struct ::sigaction act{};
    act.sa_handler = [](int) {};  // so that waiting ends
    ::sigaction(SIGALRM, &act, nullptr);
    ::alarm(static_cast<unsigned>(limit.count()));
    for (int one = 0;;) {
      const ::pid_t id = ::waitpid(-1, &one, __WALL);
      if (id == pid_) status = one;
      if (id > 0) continue;
      if (errno == ECHILD) break;
      for (const std::string& left : children()) {
        ADD_FAILURE() << "it has left " << left;
        ::kill(std::stoi(left), SIGKILL);
      }
      ::alarm(1);
    }
    ::alarm(0);
    return status;
  }

 private:
  tutti::unique_fd out_;
  ::pid_t pid_ = 0;
};

}  // namespace tutti_test
