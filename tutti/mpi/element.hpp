// element: what messages are made of: plain values, which travel as they lie in memory, and all else, encoded.
#pragma once
#include <tutti/base/codec.hpp>

#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace tutti::mpi {

namespace detail {
template <class T>
inline constexpr bool is_complex = false;
template <class T>
inline constexpr bool is_complex<std::complex<T>> = std::is_floating_point_v<T>;

// Not: a type that says itself how it is encoded, and so may mean more than its bytes.
template <class T>
inline constexpr bool is_its_bytes = [] {
  using enum tutti::detail::codec_kind;
  constexpr auto kind = tutti::detail::kind_of<T, tutti::detail::binary_codec>();
  return kind != own && kind != cereal && kind != described;
}();
}  // namespace detail

/// A value whose bytes are all there is to it: numbers, enums, std::array and aggregates of these, and std::complex, by
/// itself or in a buffer. No pointers, no views, no type with its own `serialize`.
template <class T>
concept plain = std::is_trivially_copyable_v<T> && !std::is_const_v<T> &&
                (detail::is_complex<T> || (encodable<T> && detail::is_its_bytes<T>));

/// Plain elements side by side in memory: std::vector<double>, std::array, std::string, std::span, C arrays, ...
template <class R>
concept buffer = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
                 plain<std::remove_cv_t<std::ranges::range_value_t<R>>>;

/// A buffer that can be written to.
template <class R>
concept writable_buffer = buffer<R> && !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<R>>>;

/// A buffer whose memory outlives the call it is given to: one with a name, or a view such as std::span.
template <class R>
concept lasting_buffer =
    buffer<std::remove_cvref_t<R>> && (std::is_lvalue_reference_v<R> || std::ranges::borrowed_range<R>);
/// The same for memory that is written to.
template <class R>
concept lasting_writable_buffer = writable_buffer<R> && lasting_buffer<R>;

/// Buffers of the same elements.
template <class A, class B>
concept same_elements =
    std::is_same_v<std::remove_cv_t<std::ranges::range_value_t<A>>, std::remove_cv_t<std::ranges::range_value_t<B>>>;

/// A buffer that owns its elements and takes any number of them: std::vector<double>, std::string.
template <class R>
concept growing_buffer = buffer<R> && std::default_initializable<R> && requires(R& r) { r.resize(std::size_t{1}); };

/// What is received where T is sent: T itself; for a view, such as std::span<const double>, a std::vector.
template <class T>
struct received {
  using type = T;
};
template <class T>
  requires buffer<T> && std::ranges::view<T>
struct received<T> {
  using type = std::vector<std::remove_cv_t<std::ranges::range_value_t<T>>>;
};
template <class T>
using received_t = typename received<T>::type;

/// What can be sent as it is, without being encoded.
template <class T>
concept raw_message = plain<T> || buffer<T>;

/// What can be sent. A type that cannot is a compile error naming the part of it that is in the way.
template <class T>
concept message = raw_message<T> || encodable<T>;

namespace detail {

/// Elements that MPI's own reductions know.
enum class kind : std::uint8_t {
  other,
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float32,
  float64,
  complex64,
  complex128
};

template <class T>
consteval kind kind_of() {
  if constexpr (std::is_same_v<T, bool>) return kind::boolean;
  if constexpr (std::is_same_v<T, float>) return kind::float32;
  if constexpr (std::is_same_v<T, double>) return kind::float64;
  if constexpr (std::is_same_v<T, std::complex<float>>) return kind::complex64;
  if constexpr (std::is_same_v<T, std::complex<double>>) return kind::complex128;
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    if constexpr (sizeof(T) == 1) return std::is_signed_v<T> ? kind::int8 : kind::uint8;
    if constexpr (sizeof(T) == 2) return std::is_signed_v<T> ? kind::int16 : kind::uint16;
    if constexpr (sizeof(T) == 4) return std::is_signed_v<T> ? kind::int32 : kind::uint32;
    if constexpr (sizeof(T) == 8) return std::is_signed_v<T> ? kind::int64 : kind::uint64;
  }
  return kind::other;
}

/// One type of elements.
struct element {
  std::uint32_t size = 1;  // bytes
  kind is = kind::other;
};
template <class T>
inline constexpr element element_of{static_cast<std::uint32_t>(sizeof(T)), kind_of<T>()};

/// Memory of so many elements.
struct const_memory {
  const void* data = nullptr;
  std::size_t count = 0;
  element of = {};
  [[nodiscard]] std::size_t bytes() const noexcept { return count * of.size; }
};
struct memory {
  void* data = nullptr;
  std::size_t count = 0;
  element of = {};
  [[nodiscard]] std::size_t bytes() const noexcept { return count * of.size; }
  operator const_memory() const noexcept { return {data, count, of}; }  // NOLINT(google-explicit-constructor)
};

/// The elements of a plain value or a buffer.
template <class T>
const_memory memory_of(const T& what) noexcept {
  if constexpr (buffer<const T>) {
    return {std::ranges::data(what), std::ranges::size(what),
            element_of<std::remove_cv_t<std::ranges::range_value_t<const T>>>};
  } else {
    return {std::addressof(what), 1, element_of<T>};
  }
}
template <class T>
memory writable_memory_of(T& what) noexcept {
  if constexpr (buffer<T>) {
    return {std::ranges::data(what), std::ranges::size(what),
            element_of<std::remove_cv_t<std::ranges::range_value_t<T>>>};
  } else {
    return {std::addressof(what), 1, element_of<T>};
  }
}
inline const_memory memory_of_text(std::string_view text) noexcept { return {text.data(), text.size(), {}}; }

/// Stops at what cannot be sent, and says why.
template <class T>
consteval void check_message() {
  if constexpr (!raw_message<T>) (void)tutti::detail::check_encodable<true, T, tutti::detail::binary_codec>();
}

/// Stops at what cannot be received.
template <class T>
consteval void check_received() {
  static_assert(!(buffer<T> && std::ranges::view<T>),
                "tutti: a view has no memory of its own to receive into: name an owner, such as std::vector<double>");
  if constexpr (!(buffer<T> && std::ranges::view<T>)) check_message<T>();
}

}  // namespace detail
}  // namespace tutti::mpi
