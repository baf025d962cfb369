// stdio: what a process gets as its standard input, output or error.
#pragma once
#include <string_view>
#include <type_traits>

namespace tutti {

/// One standard stream of a process to be started; by default ours.
class stdio {
 public:
  /// What this program has at the moment of the start.
  [[nodiscard]] static constexpr stdio inherit() noexcept { return stdio(kind::inherit); }
  /// Nothing to read; what is written is dropped.
  [[nodiscard]] static constexpr stdio null() noexcept { return stdio(kind::null); }
  /// A pipe, whose other end process::in(), out() or err() has.
  [[nodiscard]] static constexpr stdio pipe() noexcept { return stdio(kind::pipe); }
  /// A file: read from its beginning, or created and emptied. `path` must live until the start.
  [[nodiscard]] static constexpr stdio file(std::string_view path) noexcept { return stdio(kind::file, path); }
  /// A file that is created if need be, and written at its end.
  [[nodiscard]] static constexpr stdio append(std::string_view path) noexcept { return stdio(kind::append, path); }
  /// An open descriptor, which stays the caller's.
  [[nodiscard]] static constexpr stdio descriptor(int fd) noexcept { return stdio(kind::descriptor, {}, fd); }
  /// For standard error: where standard output goes.
  [[nodiscard]] static constexpr stdio output() noexcept { return stdio(kind::output); }

  constexpr stdio() noexcept = default;

 private:
  friend class stream_plan;
  enum class kind : unsigned char { inherit, null, pipe, file, append, descriptor, output };
  constexpr explicit stdio(kind k, std::string_view path = {}, int fd = -1) noexcept : kind_(k), path_(path), fd_(fd) {}

  kind kind_ = kind::inherit;
  std::string_view path_ = {};
  int fd_ = -1;
};

static_assert(std::is_trivially_destructible_v<stdio>);

}  // namespace tutti
