// codec: values to bytes and back, safely from bytes of any origin. The format is described in codec_archive.hpp.
#pragma once
#include <tutti/base/codec_archive.hpp>

#include <string>
#include <string_view>

namespace tutti {

/// What a type's own `serialize` or `save` gets for writing: `ar(a, b)`.
using output_archive = detail::basic_output_archive<cereal::access>;
/// What a type's own `serialize` or `load` gets for reading: `ar(a, b)`.
using input_archive = detail::basic_input_archive<cereal::access>;

/// Types that encode and decode take: numbers, enums, std::string, path, chrono, optional, variant, unique_ptr, pair,
/// tuple, array, containers, aggregates of these (through Boost.PFR: no base classes, no C arrays), and types with
/// their own `serialize`, or `save` and `load`, in the manner of cereal. With a cereal header included, its types too.
template <class T>
concept encodable = detail::check_encodable<false, T, detail::binary_codec>();

/// Appends `value` to `out`. Throws encode_error when it is nested too deep; `out` is then as before.
template <class T>
void encode(std::string& out, const T& value) {
  (void)detail::check_encodable<true, T, detail::binary_codec>();
  const std::size_t before = out.size();
  try {
    output_archive archive(out);
    archive(value);
  } catch (...) {
    out.resize(before);
    throw;
  }
}

/// `value` as bytes.
template <class T>
[[nodiscard]] std::string encode(const T& value) {
  std::string out;
  tutti::encode(out, value);
  return out;
}

namespace detail {
template <class T>
void decode_all(std::string_view bytes, T& value) {
  (void)check_encodable<true, T, binary_codec>();
  input_archive archive(bytes);
  try {
    archive(value);
  } catch (...) {
    archive.translate();
  }
  archive.finish();
}
}  // namespace detail

/// The value that `bytes` are, all of them. Throws decode_error with the offset; allocates no more than the input can
/// fill, whatever it claims.
template <class T>
[[nodiscard]] T decode(std::string_view bytes) {
  T value = T();
  detail::decode_all(bytes, value);
  return value;
}

/// Makes `value` what decode gives. A string, a list of strings, a list of such lists, ... keep the memory that they
/// have. After an exception `value` is anything.
template <class T>
void decode_into(std::string_view bytes, T& value) {
  if constexpr (!detail::has_memory<T>) value = T();  // what is loaded by its own `load` must find nothing
  detail::decode_all(bytes, value);
}

}  // namespace tutti
