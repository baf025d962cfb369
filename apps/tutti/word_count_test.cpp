// The counter against a naive one: random texts, random pieces, random parts.
#include <apps/tutti/classify.hpp>
#include <apps/tutti/word_chars.hpp>
#include <apps/tutti/word_count.hpp>
#include <apps/tutti/word_scan.hpp>
#include <tutti/base/error.hpp>

#include <gtest/gtest.h>

#include <cctype>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace tutti::app {
namespace {

using counts = std::map<std::string, std::uint64_t>;

// One character at a time; words beginning in [first, end).
counts count_naively(const std::string& text, std::size_t first = 0, std::size_t end = std::string::npos) {
  counts all;
  std::string word;
  std::size_t start = 0;
  const auto finish = [&] {
    if (!word.empty() && start >= first && start < end) ++all[word.substr(0, word_counter::longest_word)];
    word.clear();
  };
  for (std::size_t i = 0; i < text.size();) {
    const utf8_char c = decode_utf8(text.data() + i, text.size() - i);
    if (c.size != 0 && is_word_char(c.code_point)) {
      if (word.empty()) start = i;
      word += text.substr(i, c.size);
    } else {
      finish();
    }
    i += c.size == 0 ? 1 : c.size;
  }
  finish();
  return all;
}

counts to_map(const word_table& table) {
  counts all;
  table.for_each([&](std::string_view word, std::uint64_t n) { all[std::string(word)] += n; });
  EXPECT_EQ(all.size(), table.distinct());
  return all;
}

// Letters, separators, characters of every length, and damage of every kind.
std::string random_text(std::mt19937& random, std::size_t size) {
  static const std::vector<std::string> parts = {"a",
                                                 "b",
                                                 "Z",
                                                 "0",
                                                 "9",
                                                 " ",
                                                 " ",
                                                 "\n",
                                                 "_",
                                                 "-",
                                                 "'",
                                                 "the ",
                                                 "word",
                                                 "\xC3\xA9",
                                                 "\xC3\x97",
                                                 "\xE2\x82\xAC",
                                                 "\xE4\xB8\xAD",
                                                 "\xF0\x9D\x94\x84",
                                                 "\xF0\x9F\x98\x80",
                                                 "e\xCC\x81",
                                                 "\xE0\xA4\xB9\xE0\xA4\xBF",
                                                 "\x80",
                                                 "\xC3",
                                                 "\xE4\xB8",
                                                 "\xF0\x9D\x94",
                                                 "\xC0\xAF",
                                                 "\xED\xA0\x80",
                                                 "\xF4\x90\x80\x80",
                                                 "\xFF",
                                                 "antidisestablishmentarianism",
                                                 "sixteen_letters.",
                                                 "abcdefghijklmnop",
                                                 "abcdefghijklmnopq",
                                                 "/",
                                                 "@",
                                                 "[",
                                                 "`",
                                                 "{",
                                                 ":"};
  std::string text;
  const std::size_t plain = random() % 3;  // from ASCII only to anything
  while (text.size() < size) text += parts[random() % (plain == 0 ? 13 : parts.size())];
  return text;
}

TEST(WordChars, Categories) {
  for (const std::uint32_t c : {U'a', U'Z', U'0', U'9', U'é', U'ß', U'Ж', U'中', U'अ', U'ि', U'²', U'\u0301', U'𝔄'}) {
    EXPECT_TRUE(is_word_char(c)) << c;
  }
  for (const std::uint32_t c : {U'_', U' ', U'-', U'\'', U'’', U'×', U'€', U'。', U'😀', U'\0', U'\u00A0'}) {
    EXPECT_FALSE(is_word_char(c)) << c;
  }
  EXPECT_FALSE(is_word_char(0x110000));
  EXPECT_FALSE(is_word_char(0xFFFFFFFF));
}

TEST(WordChars, DecodesValidAndNothingElse) {
  for (std::uint32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 61) {
    std::string s;
    if (c < 0x80) {
      s = {static_cast<char>(c)};
    } else if (c < 0x800) {
      s = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    } else if (c < 0x10000) {
      s = {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
           static_cast<char>(0x80 | (c & 0x3F))};
    } else {
      s = {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
           static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
    }
    const utf8_char decoded = decode_utf8(s.data(), s.size());
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    EXPECT_EQ(decoded.size, surrogate ? 0 : s.size()) << c;
    EXPECT_EQ(decoded.code_point, surrogate ? 0 : c);
    EXPECT_EQ(decode_utf8(s.data(), s.size() - 1 + (s.size() == 1)).size, s.size() == 1 ? 1U : 0U);
    for (std::size_t n = 1; n < s.size(); ++n) EXPECT_EQ(unfinished_utf8(s.data(), n), n) << c;
    EXPECT_EQ(unfinished_utf8(s.data(), s.size()), 0U);
  }
  for (const std::string bad :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xF5\x80\x80\x80"}) {
    EXPECT_EQ(decode_utf8(bad.data(), bad.size()).size, 0U);
  }
}

TEST(WordScan, ClassifiesEveryByteEverywhere) {
  for (int value = 0; value < 256; ++value) {
    for (std::size_t at = 0; at < 64; ++at) {
      char block[64] = {};
      block[at] = static_cast<char>(value);
      const bool word = value < 0x80 && std::isalnum(value) != 0;
      for (const block_bits bits : {classify(block), classify_portably(block)}) {
        EXPECT_EQ(bits.ascii_word, word ? std::uint64_t{1} << at : 0) << value;
        EXPECT_EQ(bits.not_ascii, value >= 0x80 ? std::uint64_t{1} << at : 0) << value;
      }
    }
  }
}

TEST(WordCounter, ByHand) {
  word_counter counter;
  counter.feed("The cat, the CAT; l'\xC3\xA9t\xC3\xA9 snake_case x2 na\xC3\xAFve caf\xC3\xA9");
  counter.end_text();
  const counts expected = {
      {"The", 1},   {"cat", 1},  {"the", 1}, {"CAT", 1},          {"l", 1},          {"\xC3\xA9t\xC3\xA9", 1},
      {"snake", 1}, {"case", 1}, {"x2", 1},  {"na\xC3\xAFve", 1}, {"caf\xC3\xA9", 1}};
  EXPECT_EQ(to_map(counter.table()), expected);
  EXPECT_EQ(counter.table().total(), 11U);
}

TEST(WordCounter, NothingAndSeparatorsOnly) {
  word_counter counter;
  counter.end_text();
  counter.feed("");
  counter.feed(" \n\x80\xFF...");
  counter.end_text();
  EXPECT_EQ(counter.table().distinct(), 0U);
  EXPECT_EQ(counter.table().total(), 0U);
}

TEST(WordCounter, RandomTextsInRandomPieces) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 400; ++round) {
    const std::string text = random_text(random, round % 20 == 0 ? 60'000 : random() % 600);
    word_counter counter;
    counter.begin_text();
    const std::size_t longest = 1 + random() % (round % 2 == 0 ? 7 : 40'000);
    for (std::size_t at = 0; at < text.size();) {
      const std::string piece =
          text.substr(at, 1 + random() % longest);  // its own memory: overreads show under sanitizers
      counter.feed(piece);
      at += piece.size();
    }
    counter.end_text();
    ASSERT_EQ(to_map(counter.table()), count_naively(text)) << round;
  }
}

TEST(WordCounter, PartsOfATextAddUpToTheWhole) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 300; ++round) {
    const std::string text = random_text(random, 1 + random() % 400);
    word_table sum;
    for (std::size_t first = 0; first < text.size();) {
      const std::size_t end = std::min(text.size(), first + 1 + random() % 50);
      const std::size_t lead_in = std::min<std::size_t>(first, word_counter::lead_in);
      word_counter counter;
      counter.begin_text(lead_in, end - first + lead_in);
      const std::string_view rest = std::string_view(text).substr(first - lead_in);
      std::size_t fed = 0;
      while (fed < rest.size() && (fed < end - first + lead_in || !counter.sated()))
        counter.feed(rest.substr(fed++, 1));
      counter.end_text();
      ASSERT_EQ(to_map(counter.table()), count_naively(text, first, end)) << round << ": " << first << ", " << end;
      sum.merge(counter.table());
      first = end;
    }
    ASSERT_EQ(to_map(sum), count_naively(text)) << round;
  }
}

TEST(WordCounter, OverlongWordsAreCutAlike) {
  for (const std::size_t size : {word_counter::longest_word - 1, word_counter::longest_word,
                                 word_counter::longest_word + 1, 5 * word_counter::longest_word}) {
    for (const std::size_t piece : {std::size_t{1000}, std::size_t{16384}, std::size_t{1} << 20}) {
      const std::string text = "before " + std::string(size, 'x') + " after";
      word_counter counter;
      for (std::size_t at = 0; at < text.size(); at += piece) counter.feed(std::string_view(text).substr(at, piece));
      counter.end_text();
      EXPECT_EQ(to_map(counter.table()), count_naively(text)) << size << " " << piece;
    }
  }
}

TEST(WordTable, CountsShortAndLongWords) {
  word_table table;
  std::string word;
  for (std::size_t size = 1; size <= 40; ++size) {
    word.push_back(static_cast<char>('a' + size % 26));
    table.add(word, size);
    table.add(word);
  }
  EXPECT_EQ(table.distinct(), 40U);
  EXPECT_EQ(table.count(word), 41U);
  EXPECT_EQ(table.count("b"), 2U);
  EXPECT_EQ(table.count("absent"), 0U);
  EXPECT_EQ(table.count("absent, and longer than sixteen bytes"), 0U);
  EXPECT_EQ(table.count(""), 0U);
}

TEST(WordTable, GrowsMergesAndTravels) {
  std::mt19937 random(7);
  word_table a;
  word_table b;
  counts expected;
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t n = random() % 60'000;
    const std::string word = n % 5 == 0 ? "rather_a_long_word_" + std::to_string(n) : "w" + std::to_string(n);
    (i % 3 == 0 ? a : b).add(word);
    ++expected[word];
  }
  word_table merged;
  merged.merge(a);
  merged.merge(b);
  EXPECT_EQ(to_map(merged), expected);
  word_table other_way;
  other_way.merge_bytes(b.to_bytes());
  other_way.merge_bytes(a.to_bytes());
  EXPECT_TRUE(merged == other_way);
  EXPECT_EQ(merged.digest(), other_way.digest());
  other_way.add("w1");
  EXPECT_FALSE(merged == other_way);
  EXPECT_NE(merged.digest(), other_way.digest());
  const word_table moved = std::move(merged);
  EXPECT_EQ(moved.total(), 200'000U);
}

TEST(WordTable, CommonestAreOrdered) {
  word_table table;
  table.add("b", 5);
  table.add("a", 5);
  table.add("a word longer than sixteen bytes", 9);
  table.add("c", 1);
  const auto top = table.commonest(3);
  ASSERT_EQ(top.size(), 3U);
  EXPECT_EQ(top[0].first, "a word longer than sixteen bytes");
  EXPECT_EQ(top[1].first, "a");
  EXPECT_EQ(top[2].first, "b");
  EXPECT_EQ(table.commonest(100).size(), 4U);
  EXPECT_TRUE(word_table().commonest(3).empty());
}

TEST(WordTable, DamagedBytesAreErrors) {
  word_table table;
  for (const char* word : {"one", "two", "a word longer than sixteen bytes"}) table.add(word, 300);
  const std::string good = table.to_bytes();
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_THROW(word_table().merge_bytes(std::string_view(good).substr(0, size)), decode_error) << size;
  }
  EXPECT_THROW(word_table().merge_bytes(good + "x"), decode_error);
  EXPECT_THROW(word_table().merge_bytes(std::string(12, '\xFF')), decode_error);
  EXPECT_THROW(word_table().merge_bytes(std::string("\x01\x00\x01", 3)), decode_error);      // an empty word
  EXPECT_THROW(word_table().merge_bytes(std::string("\x01\x01\x00\x01", 4)), decode_error);  // NUL
  EXPECT_THROW(word_table().merge_bytes(std::string("\x01\x01w\x00", 4)), decode_error);     // counted never
  std::mt19937 random(11);
  for (int i = 0; i < 20'000; ++i) {
    std::string bad = good;
    bad[random() % bad.size()] = static_cast<char>(random());
    try {
      word_table().merge_bytes(bad);
    } catch (const decode_error&) {
    }
  }
}

}  // namespace
}  // namespace tutti::app
