// stdio: what a process gets as its standard input, output or error.
#pragma once
#include <string>
#include <utility>

namespace tutti {

/// One standard stream of a process to be started; by default ours.
class stdio {
 public:
  /// What this program has at the moment of the start.
  [[nodiscard]] static stdio inherit() noexcept { return stdio(kind::inherit); }
  /// Nothing to read; what is written is dropped.
  [[nodiscard]] static stdio null() noexcept { return stdio(kind::null); }
  /// A pipe, whose other end process::in(), out() or err() has.
  [[nodiscard]] static stdio pipe() noexcept { return stdio(kind::pipe); }
  /// A file: read from its beginning, or created and emptied.
  [[nodiscard]] static stdio file(std::string path) noexcept { return stdio(kind::file, std::move(path)); }
  /// A file that is created if need be, and written at its end.
  [[nodiscard]] static stdio append(std::string path) noexcept { return stdio(kind::append, std::move(path)); }
  /// An open descriptor, which stays the caller's.
  [[nodiscard]] static stdio descriptor(int fd) noexcept { return stdio(kind::descriptor, {}, fd); }
  /// For standard error: where standard output goes.
  [[nodiscard]] static stdio output() noexcept { return stdio(kind::output); }

  stdio() noexcept = default;

 private:
  friend class stream_plan;
  enum class kind : unsigned char { inherit, null, pipe, file, append, descriptor, output };
  explicit stdio(kind k, std::string path = {}, int fd = -1) noexcept : kind_(k), path_(std::move(path)), fd_(fd) {}

  kind kind_ = kind::inherit;
  std::string path_;
  int fd_ = -1;
};

}  // namespace tutti
