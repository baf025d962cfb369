// handles: descriptors that go along with encoded values, so that shared memory and channels can be arguments.
//
// While arguments or results are encoded for a process of this machine, an `outgoing_handles` is open on the thread:
// what a type's `save` gives to attach_handle travels beside the bytes, and `save` writes the number it gets for it.
// While they are decoded there, an `incoming_handles` is open, and `load` takes the descriptor of that number.
#pragma once
#include <tutti/base/unique_fd.hpp>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Collects what this thread attaches while it lives; they nest, the innermost counts.
class outgoing_handles {
 public:
  outgoing_handles() noexcept;
  ~outgoing_handles();
  outgoing_handles(const outgoing_handles&) = delete;
  outgoing_handles& operator=(const outgoing_handles&) = delete;

  /// In the order of their numbers.
  [[nodiscard]] const std::vector<unique_fd>& all() const noexcept { return handles_; }
  [[nodiscard]] std::vector<unique_fd> take() noexcept { return std::move(handles_); }

 private:
  friend std::uint32_t attach_handle(unique_fd, std::string_view);
  std::vector<unique_fd> handles_;
  outgoing_handles* const outer_;
};

/// Offers descriptors to what this thread decodes while it lives; those nobody took are closed with it.
class incoming_handles {
 public:
  explicit incoming_handles(std::vector<unique_fd> handles) noexcept;
  ~incoming_handles();
  incoming_handles(const incoming_handles&) = delete;
  incoming_handles& operator=(const incoming_handles&) = delete;

 private:
  friend unique_fd take_handle(std::uint32_t, std::string_view);
  std::vector<unique_fd> handles_;
  incoming_handles* const outer_;
};

/// Sends `fd` along with what is being encoded; its number there. Throws encode_error, naming `what` (such as
/// "a shared_array"), when nothing is being encoded for a process of this machine.
[[nodiscard]] std::uint32_t attach_handle(unique_fd fd, std::string_view what);
/// The same for a duplicate of `fd`. Throws os_error, too.
[[nodiscard]] std::uint32_t attach_duplicate(int fd, std::string_view what);
/// The descriptor of that number, once. Throws decode_error when there is none.
[[nodiscard]] unique_fd take_handle(std::uint32_t number, std::string_view what);

}  // namespace tutti::detail
