// shared_memory: memory of several processes, which goes when the last of them does.
#pragma once
#include <tutti/base/unique_fd.hpp>

#include <cstddef>
#include <span>
#include <string_view>

namespace tutti::detail {

/// A stretch of zeroes, page aligned, shared with every process that its descriptor is sent to (memfd): nothing is left
/// in the file system, whoever is killed. All its pages are there from the start, and its size never changes, so no
/// access is ever a SIGBUS. Move-only.
class shared_memory {
 public:
  shared_memory() = default;
  /// `size` bytes, at least 1. `what` is for errors and /proc/PID/maps. Throws os_error: no memory, no descriptors.
  explicit shared_memory(std::size_t size, std::string_view what);
  /// Maps what another process has made. Throws os_error, and decode_error for descriptors that are not shared_memory.
  explicit shared_memory(unique_fd fd, std::string_view what);
  shared_memory(shared_memory&& other) noexcept;
  shared_memory& operator=(shared_memory&& other) noexcept;
  ~shared_memory();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }  ///< bytes
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  explicit operator bool() const noexcept { return data_ != nullptr; }

 private:
  void map(std::string_view what);

  unique_fd fd_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tutti::detail
