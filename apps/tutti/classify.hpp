// classify: which of 64 bytes are ASCII letters and digits; SSE2 where there is any (all x86-64), else eight at a time.
#pragma once
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace tutti::app {

/// Bit i tells about byte i of a block of 64.
struct block_bits {
  std::uint64_t ascii_word = 0;  ///< letter or digit below 0x80
  std::uint64_t not_ascii = 0;   ///< 0x80 and above
};

namespace detail {

constexpr std::uint64_t every(std::uint64_t byte) { return byte * 0x0101010101010101; }

// The top bits of the eight bytes of `x` (all other bits are 0), gathered into eight bits.
constexpr std::uint64_t gather(std::uint64_t x) { return (x >> 7) * 0x0102040810204080 >> 56; }

}  // namespace detail

/// Classifies 64 readable bytes, eight in a machine word at a time.
inline block_bits classify_portably(const char* block) noexcept {
  using detail::every;
  using detail::gather;
  block_bits bits;
  for (int i = 0; i < 8; ++i) {
    std::uint64_t bytes;
    std::memcpy(&bytes, block + 8 * i, 8);
    const std::uint64_t high = bytes & every(0x80);
    const std::uint64_t low7 = bytes & every(0x7F);
    const std::uint64_t lower = low7 | every(0x20);
    // Adding 0x80 - bound sets a byte's top bit where it is at or above the bound; no byte overflows into the next.
    const std::uint64_t digit = (low7 + every(0x80 - '0')) & ~(low7 + every(0x80 - '9' - 1));
    const std::uint64_t letter = (lower + every(0x80 - 'a')) & ~(lower + every(0x80 - 'z' - 1));
    bits.ascii_word |= gather((digit | letter) & ~high & every(0x80)) << (8 * i);
    bits.not_ascii |= gather(high) << (8 * i);
  }
  return bits;
}

/// Classifies 64 readable bytes, the fastest way.
#ifdef __SSE2__
inline block_bits classify(const char* block) noexcept {
  // Signed comparisons: bytes from 0x80 up are negative, hence below every bound.
  const __m128i below_digit = _mm_set1_epi8('0' - 1);
  const __m128i above_digit = _mm_set1_epi8('9' + 1);
  const __m128i below_letter = _mm_set1_epi8('a' - 1);
  const __m128i above_letter = _mm_set1_epi8('z' + 1);
  const __m128i to_lower = _mm_set1_epi8(0x20);
  block_bits bits;
  for (int i = 0; i < 4; ++i) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * i));
    const __m128i lower = _mm_or_si128(bytes, to_lower);
    const __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(bytes, below_digit), _mm_cmplt_epi8(bytes, above_digit));
    const __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(lower, below_letter), _mm_cmplt_epi8(lower, above_letter));
    const auto word = static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_or_si128(digit, letter)));
    const auto high = static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));
    bits.ascii_word |= std::uint64_t{word} << (16 * i);
    bits.not_ascii |= std::uint64_t{high} << (16 * i);
  }
  return bits;
}
#else
inline block_bits classify(const char* block) noexcept { return classify_portably(block); }
#endif

}  // namespace tutti::app
