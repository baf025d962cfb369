// codec: sizes, limits and the words of the errors.
#include <tutti/base/codec.hpp>

#include <new>

namespace tutti::detail {

void byte_writer::size(std::uint64_t n) {
  while (n >= 0x80) {
    out_.push_back(static_cast<char>(static_cast<unsigned char>(n | 0x80)));
    n >>= 7;
  }
  out_.push_back(static_cast<char>(static_cast<unsigned char>(n)));
}

void byte_writer::too_deep() {
  throw encode_error("cannot encode: the value is nested deeper than " + std::to_string(codec_depth_limit) + " levels");
}

std::size_t byte_reader::size() {
  const std::size_t start = at_;
  std::uint64_t n = 0;
  for (int shift = 0;; shift += 7) {
    unsigned char byte = 0;
    raw(&byte, 1);
    // Ten bytes hold 70 bits: of the last, only one is ours.
    if (shift == 63 && byte > 1) fail("a size of more than 64 bits");
    n |= static_cast<std::uint64_t>(byte & 0x7fu) << shift;
    if ((byte & 0x80u) == 0) break;
  }
  if (n > left()) {
    const std::size_t rest = left();
    at_ = start;
    fail(("a size of " + std::to_string(n) + " with " + std::to_string(rest) + " bytes left").c_str());
  }
  return static_cast<std::size_t>(n);
}

std::size_t byte_reader::variant_index(std::size_t alternatives) {
  const std::size_t index = size();
  if (index >= alternatives) {
    fail(("alternative " + std::to_string(index) + " of a variant that has " + std::to_string(alternatives)).c_str());
  }
  return index;
}

void byte_reader::pad() {
  unsigned char byte = 0;
  raw(&byte, 1);
  if (byte != 0) fail("an empty value that is not 0");
}

void byte_reader::finish() const {
  if (left() != 0) fail((std::to_string(left()) + " bytes too many").c_str());
}

void byte_reader::fail(const char* why) const {
  throw decode_error("cannot decode: " + std::string(why) + ", at byte " + std::to_string(at_), at_);
}

void byte_reader::too_short(std::size_t wanted) const {
  fail(("wanted " + std::to_string(wanted) + " more, but " + std::to_string(left()) + " bytes are left").c_str());
}

void byte_reader::translate() const {
  try {
    throw;
  } catch (const error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    const char* const text = e.what();
    fail(text != nullptr ? text : "what was thrown has no text");
  }
}

}  // namespace tutti::detail
