// spawned: another program as a peer, whose input and output the test has; ended with the test, also when that fails.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <tutti/base/unique_fd.hpp>
#include <utility>
#include <vector>

namespace tutti_test {

/// A program found as a shell finds it, or one that ends at once with code 127. Its errors go where its output goes.
class spawned {
 public:
  explicit spawned(const std::vector<std::string>& command) {
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) std::abort();
    const tutti::unique_fd its_in(in[0]), its_out(out[1]);
    to_.reset(in[1]);
    from_.reset(out[0]);
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // also when the test is aborted
      ::dup2(its_in.get(), 0);
      ::dup2(its_out.get(), 1);
      ::dup2(its_out.get(), 2);
      ::execvp(words[0], words.data());
      ::_exit(127);
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
