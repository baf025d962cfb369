// word_chars: which bytes of a UTF-8 text belong to words.
#pragma once
#include <cstddef>
#include <cstdint>

namespace tutti::app {

/// True for letters, marks and numbers (Unicode general categories L*, M*, N*); everything else separates words.
/// `code_point`: up to 0x10FFFF. Thread-safe, does not block.
bool is_word_char(std::uint32_t code_point) noexcept;

/// One decoded code point. `size` is 0 where no valid sequence starts: that byte is a separator by itself. Overlong
/// forms, surrogates and values above 0x10FFFF are invalid, so which bytes form a sequence depends only on the three
/// bytes before and behind: decoding may begin anywhere in a text.
struct utf8_char {
  std::uint32_t code_point = 0;
  std::uint32_t size = 0;
};

/// Decodes the sequence that starts at `text`, of which `available` (> 0) bytes may be read.
utf8_char decode_utf8(const char* text, std::size_t available) noexcept;

/// How many bytes at the end of `text[0, size)` (0 to 3) are the beginning of a sequence that the bytes to come could
/// complete.
std::size_t unfinished_utf8(const char* text, std::size_t size) noexcept;

}  // namespace tutti::app
