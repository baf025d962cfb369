// spawned: another program as a peer, whose input and output the test has; ended with the test, also when that fails.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <tutti/base/unique_fd.hpp>
#include <utility>
#include <vector>

namespace tutti_test {

/// A program found as a shell finds it. Its errors go where its output goes. A missing program fails the test.
class spawned {
 public:
  explicit spawned(const std::vector<std::string>& command) {
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) std::abort();
    const tutti::unique_fd its_in(in[0]), its_out(out[1]);
    to_.reset(in[1]);
    from_.reset(out[0]);
    ::posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, its_in.get(), 0);
    ::posix_spawn_file_actions_adddup2(&actions, its_out.get(), 1);
    ::posix_spawn_file_actions_adddup2(&actions, its_out.get(), 2);
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    const int failed = ::posix_spawnp(&pid_, words[0], &actions, nullptr, words.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
      pid_ = 0;
      ADD_FAILURE() << "cannot start " << command[0] << "; scripts/packages.txt says what the tests need";
    }
  }
  ~spawned() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  spawned(const spawned&) = delete;
  spawned& operator=(const spawned&) = delete;

  /// Its standard input, to be closed or taken.
  tutti::unique_fd& to() noexcept { return to_; }
  /// Its standard output and error, to be taken.
  tutti::unique_fd& from() noexcept { return from_; }
  /// Blocks; its next line without its end.
  std::string line() const {
    std::string text;
    for (char c = 0; ::read(from_.get(), &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  /// Blocks until it has ended: its exit code, or 1000 and the signal.
  int join() {
    int status = 0;
    if (pid_ <= 0 || ::waitpid(std::exchange(pid_, 0), &status, 0) < 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  tutti::unique_fd to_, from_;
  ::pid_t pid_ = 0;
};

}  // namespace tutti_test
