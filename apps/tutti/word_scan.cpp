#include <apps/tutti/word_scan.hpp>

#include <apps/tutti/classify.hpp>
#include <apps/tutti/word_chars.hpp>

#include <bit>
#include <cstring>

namespace tutti::app {
namespace {

struct spill {
  std::uint64_t bytes = 0;  // the first bytes of the next block that belong to a sequence of this one
  bool word = false;
};

// Adds the word characters above ASCII to the bits of the block at text[at]; out of line, as most blocks have none.
[[gnu::noinline]] std::uint64_t add_sequences(const char* text, std::size_t at, std::size_t size, block_bits bits,
                                              spill& over) noexcept {
  if (over.word) bits.ascii_word |= over.bytes;
  bits.not_ascii &= ~over.bytes;
  over = {};
  while (bits.not_ascii != 0) {
    const auto i = static_cast<unsigned>(std::countr_zero(bits.not_ascii));
    const utf8_char c = decode_utf8(text + at + i, size - at - i);
    if (c.size == 0) {
      bits.not_ascii &= bits.not_ascii - 1;
      continue;
    }
    const std::uint64_t sequence = (std::uint64_t{1} << c.size) - 1;
    const bool word = is_word_char(c.code_point);
    bits.not_ascii &= ~(sequence << i);
    if (word) bits.ascii_word |= sequence << i;
    if (i + c.size > 64) over = {sequence >> (64 - i), word};
  }
  return bits.ascii_word;
}

// Written once and compiled twice: with the bit instructions of every x86-64 since 2013, and without.
[[gnu::always_inline]] inline std::size_t scan(const char* text, std::size_t size, bool& in_word,
                                               std::uint32_t* edges) noexcept {
  std::uint32_t* out = edges;
  std::uint64_t before = in_word ? 1 : 0;  // whether the byte before the block is part of a word
  spill over;
  for (std::size_t at = 0; at < size; at += 64) {
    block_bits bits;
    if (at + 64 <= size) [[likely]] {
      bits = classify(text + at);
    } else {
      char padded[64] = {};
      std::memcpy(padded, text + at, size - at);
      bits = classify(padded);
    }
    std::uint64_t word = bits.ascii_word;
    if ((bits.not_ascii | over.bytes) != 0) [[unlikely]]
      word = add_sequences(text, at, size, bits, over);
    std::uint64_t changes = word ^ (word << 1 | before);
    before = word >> 63;
    // In batches of edge_slack: how many edges a block has varies, and a loop over each would mispredict its end.
    const auto found = static_cast<unsigned>(std::popcount(changes));
    const auto base = static_cast<std::uint32_t>(at);
    for (unsigned done = 0; done < found; done += edge_slack) {
      for (std::size_t i = 0; i < edge_slack; ++i) {
        out[done + i] = base + static_cast<std::uint32_t>(std::countr_zero(changes));
        changes &= changes - 1;
      }
    }
    out += found;
  }
  const auto found = static_cast<std::size_t>(out - edges);
  // The padding of the last block is a separator, which ends a word that reaches the end of the text.
  const bool padded_end = size % 64 != 0 && found != 0 && out[-1] == size;
  if (size != 0) in_word = padded_end || (size % 64 == 0 && before != 0);
  return found - (padded_end && in_word ? 1 : 0);
}

#ifdef __x86_64__
[[gnu::target("avx2,bmi,bmi2,popcnt,lzcnt")]] std::size_t scan_v3(const char* text, std::size_t size, bool& in_word,
                                                                  std::uint32_t* edges) noexcept {
  return scan(text, size, in_word, edges);
}
#endif

std::size_t scan_any(const char* text, std::size_t size, bool& in_word, std::uint32_t* edges) noexcept {
  return scan(text, size, in_word, edges);
}

auto choose_scan() noexcept {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt"))
    return scan_v3;
#endif
  return scan_any;
}

}  // namespace

std::size_t find_edges(const char* text, std::size_t size, bool& in_word, std::uint32_t* edges) noexcept {
  static const auto chosen = choose_scan();
  return chosen(text, size, in_word, edges);
}

}  // namespace tutti::app
