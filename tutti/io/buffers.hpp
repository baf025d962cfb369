// buffers: views of bytes, as reading and writing take them.
#pragma once
#include <cstddef>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>

namespace tutti::io {

namespace detail {
template <class T>
concept byte_like = sizeof(T) == 1 && std::is_trivially_copyable_v<T>;
template <class R>
concept bytes_of_memory = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
                          byte_like<std::remove_cv_t<std::ranges::range_value_t<R>>>;
}  // namespace detail

/// Bytes to be written: what a string, a vector or span of bytes or chars, or a literal refers to, without its final
/// zero. A view: what it refers to must live, and not change, until the write has ended.
class const_buffer {
 public:
  constexpr const_buffer() noexcept = default;
  const_buffer(const void* data, std::size_t size) noexcept : data_(static_cast<const std::byte*>(data)), size_(size) {}
  /// A literal's, or another text's that ends with a zero.
  const_buffer(const char* text) noexcept  // NOLINT(google-explicit-constructor): a view
      : const_buffer(std::string_view(text)) {}
  /// An array that is no literal: a text that ends with a zero (std::string_view), or all of it (std::span)?
  template <std::size_t N>
  const_buffer(char (&)[N]) = delete;
  /// A contiguous range's.
  template <class R>
    requires(detail::bytes_of_memory<const R> && !std::is_same_v<R, const_buffer> && !std::is_array_v<R>)
  const_buffer(const R& range) noexcept  // NOLINT(google-explicit-constructor): a view
      : const_buffer(std::ranges::data(range), std::ranges::size(range)) {}

  const std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  const std::byte* begin() const noexcept { return data_; }
  const std::byte* end() const noexcept { return data_ + size_; }
  /// Without its first `n` bytes, `n` at most size().
  const_buffer behind(std::size_t n) const noexcept { return {data_ + n, size_ - n}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Room for bytes to be read: the elements of an array, a vector, a string or a span. A view, as const_buffer.
class mutable_buffer {
 public:
  constexpr mutable_buffer() noexcept = default;
  mutable_buffer(void* data, std::size_t size) noexcept : data_(static_cast<std::byte*>(data)), size_(size) {}
  /// A contiguous range's.
  template <class R>
    requires(detail::bytes_of_memory<R> && !std::is_same_v<std::remove_cvref_t<R>, mutable_buffer> &&
             !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<R>>> &&
             (std::is_lvalue_reference_v<R> || std::ranges::borrowed_range<R>))
  mutable_buffer(R&& range) noexcept  // NOLINT(google-explicit-constructor): a view
      : mutable_buffer(std::ranges::data(range), std::ranges::size(range)) {}

  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::byte* begin() const noexcept { return data_; }
  std::byte* end() const noexcept { return data_ + size_; }
  /// Without its first `n` bytes, `n` at most size().
  mutable_buffer behind(std::size_t n) const noexcept { return {data_ + n, size_ - n}; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tutti::io
