// plain: the counter one writes in an afternoon: whole files in memory, one map per thread, merged at the end.
#include <array>
#include <atomic>
#include <fstream>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "systems.hpp"

namespace bench::wordcount {

namespace {

struct hash : std::hash<std::string_view> {
  using is_transparent = void;
};

using table = std::unordered_map<std::string, std::uint64_t, hash, std::equal_to<>>;

// ASCII letters and digits, and everything beyond ASCII.
constexpr std::array<bool, 256> word_bytes = [] {
  std::array<bool, 256> is{};
  for (int c = 0; c < 256; ++c) {
    is[static_cast<std::size_t>(c)] =
        c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }
  return is;
}();

bool in_word(char c) { return word_bytes[static_cast<unsigned char>(c)]; }

void count(std::string_view text, table& counts) {
  for (std::size_t i = 0; i < text.size();) {
    while (i < text.size() && !in_word(text[i])) ++i;
    std::size_t start = i;
    while (i < text.size() && in_word(text[i])) ++i;
    if (i == start) break;
    std::string_view word = text.substr(start, i - start);
    if (auto found = counts.find(word); found != counts.end()) {
      ++found->second;
    } else {
      counts.emplace(word, 1);
    }
  }
}

}  // namespace

totals count_plain(const std::vector<file>& files, int threads) {
  std::vector<table> tables(static_cast<std::size_t>(threads));
  std::atomic<std::size_t> next = 0;
  auto work = [&](table& counts) {
    std::string text;
    for (std::size_t i; (i = next.fetch_add(1)) < files.size();) {
      std::ifstream in(files[i].path, std::ios::binary);
      text.resize(files[i].size);
      in.read(text.data(), static_cast<std::streamsize>(text.size()));
      count({text.data(), static_cast<std::size_t>(in.gcount())}, counts);
    }
  };
  std::vector<std::thread> others;
  for (std::size_t t = 1; t < tables.size(); ++t) others.emplace_back(work, std::ref(tables[t]));
  work(tables[0]);
  for (std::thread& t : others) t.join();
  for (std::size_t t = 1; t < tables.size(); ++t) {
    for (const auto& [word, times] : tables[t]) tables[0][word] += times;
  }
  totals all;
  all.distinct = tables[0].size();
  for (const auto& [word, times] : tables[0]) all.words += times;
  return all;
}

}  // namespace bench::wordcount
