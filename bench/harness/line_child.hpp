// line_child: a program beside the benchmark that is asked by lines and answers with numbers, so that it takes turns
// with the others.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <string>
#include <vector>

namespace bench {

/// A child that reads requests from its input, a line each, and answers each with a line of numbers, or with one that
/// begins with "error". It should sleep between requests. Its end of input ends it; its CPU time is not foreign load.
class line_child {
 public:
  /// Starts `command`, whose first word is found in PATH.
  explicit line_child(std::vector<std::string> command);
  ~line_child();
  line_child(const line_child&) = delete;
  line_child& operator=(const line_child&) = delete;

  /// False when it could not be started; a message was printed.
  bool available() const noexcept { return pid_ > 0; }

  /// Sends `request` and returns the numbers answered. Throws std::runtime_error with the child's message when the case
  /// failed.
  std::vector<double> ask(const std::string& request);

  pid_t pid() const noexcept { return pid_; }

 private:
  std::string name_;
  pid_t pid_ = 0;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
};

}  // namespace bench
