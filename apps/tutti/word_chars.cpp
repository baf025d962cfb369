#include <apps/tutti/word_chars.hpp>

#include <array>
#include <memory>

namespace tutti::app {
namespace {

struct range {
  std::uint32_t first;
  std::uint32_t last;
};

constexpr range word_ranges[] = {
#include <apps/tutti/word_ranges.inc>
};

constexpr std::uint32_t code_points = 0x110000;

// A bit per code point: 136 KiB, of which a text touches the few lines of its own script.
class bitmap {
 public:
  bitmap() noexcept {
    for (char c = '0'; c <= '9'; ++c) set(static_cast<std::uint32_t>(c));
    for (char c = 'A'; c <= 'Z'; ++c) set(static_cast<std::uint32_t>(c));
    for (char c = 'a'; c <= 'z'; ++c) set(static_cast<std::uint32_t>(c));
    for (const range& r : word_ranges) {
      for (std::uint32_t c = r.first; c <= r.last; ++c) set(c);
    }
  }

  bool operator[](std::uint32_t c) const noexcept { return (words_[c / 64] >> (c % 64) & 1) != 0; }

 private:
  void set(std::uint32_t c) noexcept { words_[c / 64] |= std::uint64_t{1} << (c % 64); }

  std::array<std::uint64_t, code_points / 64> words_{};
};

const bitmap word_bits;  // no other static initialiser counts words

std::uint32_t byte_at(const char* text, std::size_t i) noexcept { return static_cast<unsigned char>(text[i]); }

bool continues(const char* text, std::size_t i) noexcept { return (byte_at(text, i) & 0xC0) == 0x80; }

// Bytes that a sequence with this first byte has; 0 when none begins with it.
std::size_t sequence_size(std::uint32_t lead) noexcept {
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;  // continuation bytes, and C0 and C1, which only begin overlong forms
  if (lead < 0xE0) return 2;
  if (lead < 0xF0) return 3;
  return lead < 0xF5 ? 4 : 0;
}

}  // namespace

bool is_word_char(std::uint32_t code_point) noexcept { return code_point < code_points && word_bits[code_point]; }

utf8_char decode_utf8(const char* text, std::size_t available) noexcept {
  const std::uint32_t lead = byte_at(text, 0);
  const std::size_t size = sequence_size(lead);
  if (size == 0 || size > available) return {};
  if (size == 1) return {lead, 1};
  if (!continues(text, 1)) return {};
  const std::uint32_t second = byte_at(text, 1) & 0x3F;
  if (size == 2) return {(lead & 0x1F) << 6 | second, 2};
  if (!continues(text, 2)) return {};
  const std::uint32_t third = byte_at(text, 2) & 0x3F;
  if (size == 3) {
    const std::uint32_t value = (lead & 0x0F) << 12 | second << 6 | third;
    const bool valid = value >= 0x800 && (value < 0xD800 || value > 0xDFFF);
    return valid ? utf8_char{value, 3} : utf8_char{};
  }
  if (!continues(text, 3)) return {};
  const std::uint32_t value = (lead & 0x07) << 18 | second << 12 | third << 6 | (byte_at(text, 3) & 0x3F);
  return value >= 0x10000 && value < code_points ? utf8_char{value, 4} : utf8_char{};
}

std::size_t unfinished_utf8(const char* text, std::size_t size) noexcept {
  for (std::size_t back = 1; back <= 3 && back <= size; ++back) {
    if (continues(text, size - back)) continue;
    return sequence_size(byte_at(text, size - back)) > back ? back : 0;
  }
  return 0;
}

}  // namespace tutti::app
