// unique_fd: a file descriptor with one owner.
#pragma once
#include <unistd.h>

namespace tutti {

/// Owns a descriptor and closes it once. Move-only; -1 means none. Not thread-safe.
class unique_fd {
 public:
  /// Owns nothing.
  constexpr unique_fd() noexcept = default;
  /// Takes over `fd`; negative means none.
  constexpr explicit unique_fd(int fd) noexcept : fd_(fd < 0 ? -1 : fd) {}
  constexpr unique_fd(unique_fd&& other) noexcept : fd_(other.release()) {}
  constexpr unique_fd& operator=(unique_fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  unique_fd(const unique_fd&) = delete;
  unique_fd& operator=(const unique_fd&) = delete;
  constexpr ~unique_fd() { reset(); }

  /// The descriptor, still owned; -1 when there is none.
  [[nodiscard]] constexpr int get() const noexcept { return fd_; }
  /// True when a descriptor is owned.
  constexpr explicit operator bool() const noexcept { return fd_ >= 0; }
  /// Gives the descriptor up to the caller.
  [[nodiscard]] constexpr int release() noexcept {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  /// Closes what is owned, then owns `fd`.
  constexpr void reset(int fd = -1) noexcept {
    // The kernel frees the number even when close() reports EINTR or EIO: trying again would close a stranger's.
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd < 0 ? -1 : fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace tutti
