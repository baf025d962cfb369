// word_table: how often each word occurred; no allocation per word, and it crosses to another process as bytes.
#pragma once
#include <apps/tutti/huge_array.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::app {

/// Counts by word. Words of up to 16 bytes, nearly all, live inside the slots of an open-addressing table and are
/// compared as two machine words; the few longer ones have a table of their own whose bytes lie in an arena. Words
/// contain no NUL and are below 4 GiB. Not thread-safe: one table per worker, merged at the end. Move-only; a
/// moved-from table only dies.
class word_table {
 public:
  word_table();

  /// Counts `word` (not empty) `times` more. Throws std::bad_alloc without memory for a larger table, as all that adds
  /// does.
  void add(std::string_view word, std::uint64_t times = 1);

  /// Counts the words text[edges[2i], edges[2i + 1]) for i below `words`; `readable` bytes of `text` may be read.
  void add_all(const char* text, std::size_t readable, const std::uint32_t* edges, std::size_t words);

  /// Adds the counts of `other`.
  void merge(const word_table& other);

  /// How often `word` was counted.
  std::uint64_t count(std::string_view word) const noexcept;

  std::size_t distinct() const noexcept { return short_used_ + long_used_; }  ///< different words
  std::uint64_t total() const noexcept;                                       ///< all words; walks the table

  /// The `n` commonest words, commonest first; among equals in byte order. The views live as long as the table is not
  /// changed.
  std::vector<std::pair<std::string_view, std::uint64_t>> commonest(std::size_t n) const;

  /// Calls visit(word, count) for each word, in no particular order.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const short_slot& s : short_) {
      if (s.count != 0) visit(s.word(), s.count);
    }
    for (const long_slot& s : long_) {
      if (s.count != 0) visit(s.word(), s.count);
    }
  }

  /// The table as bytes; merge_bytes adds such a table. Throws decode_error for bytes that are no table; counts read
  /// before the damage stay.
  std::string to_bytes() const;
  void merge_bytes(std::string_view bytes);

  /// A number that equal tables share and different ones practically do not, whatever the order of counting.
  std::uint64_t digest() const noexcept;

  /// True when both hold the same words with the same counts.
  friend bool operator==(const word_table& a, const word_table& b) noexcept;

  static constexpr std::size_t short_bytes = 16;  ///< words up to here live in the table itself

 private:
  struct short_key {
    std::uint64_t low;  // the word's bytes, padded with NUL: 0 only in an empty slot
    std::uint64_t high;
  };
  struct short_slot {
    short_key key;
    std::uint64_t count;

    std::string_view word() const noexcept;
  };
  struct long_slot {
    const char* bytes;
    std::uint64_t count;
    std::uint32_t size;
    std::uint32_t hash;

    std::string_view word() const noexcept { return {bytes, size}; }
  };

  static short_key make_key(const char* word, std::size_t size) noexcept;
  static std::uint64_t hash_of(short_key key) noexcept;
  static std::uint64_t hash_of(std::string_view word) noexcept;

  void add_short(short_key key, std::uint64_t hash, std::uint64_t times) noexcept;
  void add_long(std::string_view word, std::uint64_t times);
  void reserve_short(std::size_t more);  // so that `more` new words fit without growing
  void grow_short(std::size_t slots);
  void grow_long();
  const char* keep(std::string_view word);

  huge_array<short_slot> short_;
  unsigned short_shift_ = 0;  // the slot of a hash is hash >> shift: the best-mixed bits of a product are the top ones
  std::size_t short_used_ = 0;
  huge_array<long_slot> long_;
  std::size_t long_used_ = 0;
  std::vector<std::unique_ptr<char[]>> arena_;
  std::size_t arena_left_ = 0;
  char* arena_next_ = nullptr;
  std::vector<std::string_view> rare_;  // what add_all sets aside while its loop runs; empty otherwise
};

}  // namespace tutti::app
