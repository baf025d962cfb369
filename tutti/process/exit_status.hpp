// exit_status: how a process came to its end.
#pragma once
#include <optional>
#include <string>

namespace tutti {

/// An exit code, or the signal that killed it.
class exit_status {
 public:
  /// Ended by itself with `code`, 0 to 255.
  [[nodiscard]] static exit_status exited(int code) noexcept { return {code, 0}; }
  /// Killed by `signal`.
  [[nodiscard]] static exit_status killed(int signal) noexcept { return {0, signal}; }
  /// From what waitpid() gives of a process that has ended.
  [[nodiscard]] static exit_status of_wait(int status) noexcept;

  /// The exit code, if it ended by itself.
  [[nodiscard]] std::optional<int> code() const noexcept { return signal_ == 0 ? std::optional(code_) : std::nullopt; }
  /// The signal, if one killed it.
  [[nodiscard]] std::optional<int> signal() const noexcept {
    return signal_ != 0 ? std::optional(signal_) : std::nullopt;
  }
  /// True for exit code 0.
  [[nodiscard]] bool success() const noexcept { return signal_ == 0 && code_ == 0; }
  /// As one number: the exit code, or the signal with a minus sign (-15 after SIGTERM), as Python's exitcode.
  [[nodiscard]] int value() const noexcept { return signal_ != 0 ? -signal_ : code_; }

  friend bool operator==(const exit_status&, const exit_status&) = default;

 private:
  exit_status(int code, int signal) noexcept : code_(code), signal_(signal) {}
  int code_, signal_;
};

/// "exit code 3", "killed by SIGKILL".
[[nodiscard]] std::string to_string(const exit_status& status);
/// "SIGKILL"; "signal 40" where there is no name.
[[nodiscard]] std::string signal_name(int signal);

}  // namespace tutti
