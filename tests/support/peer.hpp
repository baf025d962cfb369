// peer: a program that a test talks to, or whose output it wants: ended with the test, however that ends.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <tutti/base/unique_fd.hpp>
#include <utility>
#include <vector>

namespace tutti_test {

/// A program with its standard output, and its standard input, at our hands. Killed at the end of its scope, after a
/// minute, and when it reads the end of its input if it heeds that.
class peer {
 public:
  /// `command`: found in PATH.
  explicit peer(std::vector<std::string> command) {
    command.insert(command.begin(), {"timeout", "-s", "KILL", "60"});
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) std::abort();
    in_.reset(in[1]);
    out_.reset(out[0]);
    const tutti::unique_fd its_in(in[0]), its_out(out[1]);
    ::posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    ::posix_spawnattr_t how;
    ::posix_spawnattr_init(&how);
    ::posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP);  // so that all of it is killed
    std::vector<char*> words;
    for (std::string& word : command) words.push_back(word.data());
    words.push_back(nullptr);
    const int failed = ::posix_spawnp(&pid_, words[0], &actions, &how, words.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&how);
    if (failed != 0) {
      pid_ = 0;
      ADD_FAILURE() << "cannot start " << command[4] << ": error " << failed;
    }
  }
  peer(const peer&) = delete;
  peer& operator=(const peer&) = delete;
  ~peer() {
    if (pid_ > 0) ::kill(-pid_, SIGKILL);
    join();
  }

  /// A line that it writes, without its end; blocks, for a minute at most.
  std::string line() {
    for (;;) {
      const std::size_t end = read_.find('\n');
      if (end != std::string::npos) {
        std::string found = read_.substr(0, end);
        read_.erase(0, end + 1);
        return found;
      }
      if (!more()) return std::exchange(read_, {});
    }
  }
  /// All that it writes until it ends.
  std::string all() {
    in_.reset();
    while (more()) {
    }
    join();
    return std::exchange(read_, {});
  }
  /// Its exit code, after all().
  int code() const noexcept { return code_; }

 private:
  bool more() {
    char buffer[4096];
    ::pollfd ask{out_.get(), POLLIN, 0};
    if (::poll(&ask, 1, 60'000) != 1) return false;
    const ::ssize_t n = ::read(out_.get(), buffer, sizeof buffer);
    if (n > 0) read_.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }
  void join() {
    if (pid_ <= 0) return;
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  ::pid_t pid_ = 0;
  int code_ = -1;
  tutti::unique_fd in_, out_;
  std::string read_;
};

}  // namespace tutti_test
