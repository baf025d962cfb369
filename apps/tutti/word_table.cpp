#include <apps/tutti/word_table.hpp>

#include <tutti/base/error.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace tutti::app {
namespace {

static_assert(std::endian::native == std::endian::little, "the masks below keep the first bytes of a word");

constexpr std::size_t first_slots = 1024;  // both tables grow at half full, by doubling: probes stay near one

struct mask {
  std::uint64_t low;
  std::uint64_t high;
};

// masks[n] keeps the first n bytes of 16.
constexpr auto masks = [] {
  std::array<mask, word_table::short_bytes + 1> all{};
  for (std::size_t n = 0; n <= word_table::short_bytes; ++n) {
    all[n].low = n >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * n)) - 1;
    all[n].high = n <= 8 ? 0 : n == 16 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * (n - 8))) - 1;
  }
  return all;
}();

// Both halves of a 128-bit product, folded: one multiplication mixes 16 bytes (as wyhash does).
std::uint64_t fold(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using wide = unsigned __int128;
  const wide product = static_cast<wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

constexpr std::uint64_t salt_low = 0x9E3779B97F4A7C15;
constexpr std::uint64_t salt_high = 0xD6E8FEB86659FD93;

std::uint64_t load(const char* from) noexcept {
  std::uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void put_number(std::string& out, std::uint64_t n) {
  for (; n >= 0x80; n >>= 7) out.push_back(static_cast<char>(n | 0x80));
  out.push_back(static_cast<char>(n));
}

std::uint64_t take_number(std::string_view bytes, std::size_t& at) {
  std::uint64_t n = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at == bytes.size()) break;
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    n |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return n;
  }
  throw decode_error("word table: a number is cut off or too large", at);
}

}  // namespace

word_table::word_table() {
  grow_short(first_slots);
  long_ = huge_array<long_slot>(first_slots);
}

std::string_view word_table::short_slot::word() const noexcept {
  const std::size_t size = key.high != 0 ? 16 - static_cast<std::size_t>(std::countl_zero(key.high)) / 8
                                         : 8 - static_cast<std::size_t>(std::countl_zero(key.low)) / 8;
  return {reinterpret_cast<const char*>(&key), size};
}

word_table::short_key word_table::make_key(const char* word, std::size_t size) noexcept {
  char padded[short_bytes] = {};
  std::memcpy(padded, word, size);
  return {load(padded), load(padded + 8)};
}

std::uint64_t word_table::hash_of(short_key key) noexcept { return fold(key.low ^ salt_low, key.high ^ salt_high); }

std::uint64_t word_table::hash_of(std::string_view word) noexcept {
  std::uint64_t h = word.size();
  std::size_t at = 0;
  for (; at + short_bytes <= word.size(); at += short_bytes) {
    h = fold(load(word.data() + at) ^ salt_low ^ h, load(word.data() + at + 8) ^ salt_high);
  }
  const short_key rest = make_key(word.data() + at, word.size() - at);
  return fold(rest.low ^ salt_low ^ h, rest.high ^ salt_high);
}

void word_table::add(std::string_view word, std::uint64_t times) {
  if (word.size() > short_bytes) return add_long(word, times);
  reserve_short(1);
  const short_key key = make_key(word.data(), word.size());
  add_short(key, hash_of(key), times);
}

inline void word_table::add_short(short_key key, std::uint64_t hash, std::uint64_t times) noexcept {
  const std::size_t last = short_.size() - 1;
  for (std::size_t i = hash >> short_shift_;; i = (i + 1) & last) {
    short_slot& s = short_[i];
    if (s.key.low == key.low && s.key.high == key.high) {
      s.count += times;
      return;
    }
    if (s.key.low == 0) {
      s = {key, times};
      ++short_used_;
      return;
    }
  }
}

void word_table::add_all(const char* text, std::size_t readable, const std::uint32_t* edges, std::size_t words) {
  // Groups: first the keys and slots of all, asking for their cache lines, then the counting, so that the misses of a
  // large table overlap. What the loops read of the table is copied: the compiler must assume that counting changes
  // members.
  constexpr std::size_t group = 16;
  short_key keys[group];
  short_slot* homes[group];
  const std::size_t safe = readable < short_bytes ? 0 : readable - short_bytes + 1;  // where 16 bytes may still be read
  for (std::size_t first = 0; first < words; first += group) {
    reserve_short(group);
    const std::size_t last = std::min(first + group, words);
    short_slot* const slots = short_.begin();
    short_slot* const slots_end = short_.end();
    const unsigned shift = short_shift_;
    std::size_t n = 0;
    for (std::size_t i = first; i < last; ++i) {
      const std::size_t begin = edges[2 * i];
      const std::size_t size = edges[2 * i + 1] - begin;
      if (size > short_bytes || begin >= safe) [[unlikely]] {
        rare_.emplace_back(text + begin, size);
        continue;
      }
      const mask keep = masks[size];
      const short_key key = {load(text + begin) & keep.low, load(text + begin + 8) & keep.high};
      keys[n] = key;
      homes[n] = slots + (hash_of(key) >> shift);
      __builtin_prefetch(homes[n], 1);
      ++n;
    }
    std::size_t fresh = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const short_key key = keys[i];
      short_slot* s = homes[i];
      while (((s->key.low ^ key.low) | (s->key.high ^ key.high)) != 0) {
        if (s->key.low == 0) {
          s->key = key;
          ++fresh;
          break;
        }
        if (++s == slots_end) s = slots;
      }
      ++s->count;
    }
    short_used_ += fresh;
    for (const std::string_view word : rare_) add(word);
    rare_.clear();
  }
}

void word_table::reserve_short(std::size_t more) {
  if (short_used_ + more > short_.size() / 2) [[unlikely]]
    grow_short(std::bit_ceil(2 * (short_used_ + more)));
}

void word_table::grow_short(std::size_t slots) {
  huge_array<short_slot> old(slots);
  std::swap(old, short_);
  short_shift_ = static_cast<unsigned>(std::countl_zero(slots)) + 1;
  short_used_ = 0;
  for (const short_slot& s : old) {
    if (s.count != 0) add_short(s.key, hash_of(s.key), s.count);
  }
}

void word_table::add_long(std::string_view word, std::uint64_t times) {
  const auto hash = static_cast<std::uint32_t>(hash_of(word) >> 32);
  const std::size_t last = long_.size() - 1;
  for (std::size_t i = hash & last;; i = (i + 1) & last) {
    long_slot& s = long_[i];
    if (s.count == 0) {
      s = {keep(word), times, static_cast<std::uint32_t>(word.size()), hash};
      if (++long_used_ > long_.size() / 2) grow_long();
      return;
    }
    if (s.hash == hash && s.word() == word) {
      s.count += times;
      return;
    }
  }
}

void word_table::grow_long() {
  huge_array<long_slot> old(2 * long_.size());
  std::swap(old, long_);
  const std::size_t last = long_.size() - 1;
  for (const long_slot& s : old) {
    if (s.count == 0) continue;
    std::size_t i = s.hash & last;
    while (long_[i].count != 0) i = (i + 1) & last;
    long_[i] = s;
  }
}

const char* word_table::keep(std::string_view word) {
  constexpr std::size_t block = std::size_t{64} << 10;
  if (word.size() > arena_left_) {
    arena_left_ = std::max(block, word.size());
    arena_.push_back(std::make_unique_for_overwrite<char[]>(arena_left_));
    arena_next_ = arena_.back().get();
  }
  char* at = arena_next_;
  std::memcpy(at, word.data(), word.size());
  arena_next_ += word.size();
  arena_left_ -= word.size();
  return at;
}

void word_table::merge(const word_table& other) {
  // The other's slots come in the order of their hashes; a much smaller table would fill densely from its front.
  if (short_.size() < other.short_.size()) grow_short(other.short_.size());
  for (const short_slot& s : other.short_) {
    if (s.count == 0) continue;
    reserve_short(1);
    add_short(s.key, hash_of(s.key), s.count);
  }
  for (const long_slot& s : other.long_) {
    if (s.count != 0) add_long(s.word(), s.count);
  }
}

std::uint64_t word_table::count(std::string_view word) const noexcept {
  if (word.empty()) return 0;
  if (word.size() > short_bytes) {
    const auto hash = static_cast<std::uint32_t>(hash_of(word) >> 32);
    const std::size_t last = long_.size() - 1;
    for (std::size_t i = hash & last; long_[i].count != 0; i = (i + 1) & last) {
      if (long_[i].hash == hash && long_[i].word() == word) return long_[i].count;
    }
    return 0;
  }
  const short_key key = make_key(word.data(), word.size());
  const std::size_t last = short_.size() - 1;
  for (std::size_t i = hash_of(key) >> short_shift_; short_[i].count != 0; i = (i + 1) & last) {
    if (short_[i].key.low == key.low && short_[i].key.high == key.high) return short_[i].count;
  }
  return 0;
}

std::uint64_t word_table::total() const noexcept {
  std::uint64_t sum = 0;
  for_each([&](std::string_view, std::uint64_t n) { sum += n; });
  return sum;
}

std::vector<std::pair<std::string_view, std::uint64_t>> word_table::commonest(std::size_t n) const {
  std::vector<std::pair<std::string_view, std::uint64_t>> all;
  all.reserve(distinct());
  for_each([&](std::string_view word, std::uint64_t count) { all.emplace_back(word, count); });
  n = std::min(n, all.size());
  const auto commoner = [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  };
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n), all.end(), commoner);
  all.resize(n);
  return all;
}

std::string word_table::to_bytes() const {
  std::string out;
  out.reserve(distinct() * 12 + 16);
  put_number(out, distinct());
  for_each([&](std::string_view word, std::uint64_t n) {
    put_number(out, word.size());
    out += word;
    put_number(out, n);
  });
  return out;
}

void word_table::merge_bytes(std::string_view bytes) {
  std::size_t at = 0;
  const std::uint64_t words = take_number(bytes, at);
  for (std::uint64_t i = 0; i < words; ++i) {
    const std::uint64_t size = take_number(bytes, at);
    if (size == 0 || size > bytes.size() - at || size > ~std::uint32_t{0}) {
      throw decode_error("word table: a word is empty, cut off or too long", at);
    }
    const std::string_view word = bytes.substr(at, size);
    if (word.find('\0') != word.npos) throw decode_error("word table: a word contains NUL", at);
    at += size;
    const std::uint64_t times = take_number(bytes, at);
    if (times == 0) throw decode_error("word table: a word with count 0", at);
    add(word, times);
  }
  if (at != bytes.size()) throw decode_error("word table: bytes behind the last word", at);
}

std::uint64_t word_table::digest() const noexcept {
  std::uint64_t sum = 0;
  for_each([&](std::string_view word, std::uint64_t n) { sum += fold(hash_of(word) ^ salt_high, n ^ salt_low); });
  return sum;
}

bool operator==(const word_table& a, const word_table& b) noexcept {
  bool equal = a.distinct() == b.distinct();
  a.for_each([&](std::string_view word, std::uint64_t n) { equal = equal && b.count(word) == n; });
  return equal;
}

}  // namespace tutti::app
