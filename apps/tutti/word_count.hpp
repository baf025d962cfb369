// word_counter: counts the words of a text that comes in pieces.
#pragma once
#include <apps/tutti/word_table.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tutti::app {

/// A word is a run of letters, marks and numbers of UTF-8 (see is_word_char), counted as it is written: `The` and `the`
/// are two words, since folding case depends on the language and a text is as often a program as prose. Invalid UTF-8
/// separates. Words are whole wherever the pieces end. A word longer than 64 KiB is counted by its first 64 KiB. Not
/// thread-safe.
class word_counter {
 public:
  static constexpr std::size_t longest_word = std::size_t{64} << 10;  ///< bytes
  static constexpr std::uint64_t no_end = ~std::uint64_t{0};

  word_counter();

  /// Begins a text, of which only words that begin at an offset in [first, end) count: a part of a larger text. To know
  /// whether a word begins at `first`, feeding must start at least `lead_in` bytes before it, or where the larger text
  /// starts.
  void begin_text(std::uint64_t first = 0, std::uint64_t end = no_end);
  static constexpr std::uint64_t lead_in = 4;

  /// Counts the words of the next piece of the text; the last one waits for the next piece or for end_text().
  void feed(std::string_view piece);

  /// True when no word of what is still to come can count: the rest of the text need not be fed.
  bool sated() const noexcept { return position_ >= end_ && !(in_word_ && counts_); }

  /// Counts the last word.
  void end_text();

  /// The counts of all texts so far.
  word_table& table() noexcept { return table_; }
  const word_table& table() const noexcept { return table_; }

 private:
  void feed_whole(const char* text, std::size_t size);  // no sequence is cut at its end
  void feed_block(const char* text, std::size_t size, std::size_t readable);
  void keep(const char* text, std::size_t size);
  void count_kept();

  word_table table_;
  std::unique_ptr<std::uint32_t[]> edges_;
  std::string kept_;            // the beginning of the word that the last block's end cut
  std::string unfinished_;      // 0 to 3 bytes: the UTF-8 sequence that the last piece's end cut
  std::uint64_t position_ = 0;  // of the next block in the text
  std::uint64_t first_ = 0;
  std::uint64_t end_ = no_end;
  bool in_word_ = false;  // the last block ended inside a word ...
  bool counts_ = false;   // ... that begins in [first_, end_)
};

}  // namespace tutti::app
