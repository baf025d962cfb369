// pipeline_words: counts the words of a text that is read page by page, and numbers its lines.
// Teaches: a pipeline. One page at a time is read, any number of them are counted at once, one at a time is added to
// the sum in any order; the last stage has them in the text's order again. Usage: pipeline_words [FILE]
#include <tutti/tutti.hpp>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using word_counts = std::unordered_map<std::string, long>;

struct page {
  std::vector<std::string> lines{};
  word_counts words{};
};

// Empty at the end of the text.
page read_page(std::istream& text) {
  page p;
  for (std::string line; p.lines.size() < 50 && std::getline(text, line);) p.lines.push_back(std::move(line));
  return p;
}

page count_words(page p) {
  std::string word;
  for (const std::string& line : p.lines) {
    for (const char c : line + ' ') {
      if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
        word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      } else if (!word.empty()) {
        ++p.words[std::exchange(word, {})];
      }
    }
  }
  return p;
}

// What comes out at the end.
struct result {
  word_counts words{};
  std::vector<std::string> lines{};

  page add(page p) {
    for (const auto& [word, count] : p.words) words[word] += count;
    return p;
  }
  void number(const page& p) {
    for (const std::string& line : p.lines) lines.push_back(std::to_string(lines.size() + 1) + ": " + line);
  }
  bool operator==(const result&) const = default;
};

result serially(std::istream& text) {
  result r;
  for (page p = read_page(text); !p.lines.empty(); p = read_page(text)) r.number(r.add(count_words(std::move(p))));
  return r;
}

result in_a_pipeline(std::istream& text) {
  result r;
  const auto source = [&] {
    page p = read_page(text);
    return p.lines.empty() ? std::nullopt : std::optional(std::move(p));
  };
  tutti::pipeline({.tokens = 32}, source, tutti::in_parallel(count_words),
                  tutti::serial_out_of_order([&](page p) { return r.add(std::move(p)); }),
                  tutti::serial_in_order([&](const page& p) { r.number(p); }));
  return r;
}

std::string song(int verses) {
  std::string text;
  for (int n = verses; n > 0; --n) {
    const auto bottles = [](int some) { return std::to_string(some) + " bottles of beer"; };
    text += bottles(n) + " on the wall, " + bottles(n) + ".\n";
    text += "Take one down and pass it around, " + bottles(n - 1) + " on the wall.\n";
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  constexpr int verses = 10'000;
  std::string text = song(verses);
  if (argc > 1) {
    std::ostringstream read;
    read << std::ifstream(argv[1]).rdbuf();
    text = read.str();
    if (text.empty()) {
      std::cerr << "pipeline_words: " << argv[1] << " is empty or cannot be read\n";
      return 1;
    }
  }

  std::istringstream one(text), another(text);
  const auto start = std::chrono::steady_clock::now();
  const result expected = serially(one);
  const auto middle = std::chrono::steady_clock::now();
  const result r = in_a_pipeline(another);
  const auto end = std::chrono::steady_clock::now();
  using milliseconds = std::chrono::duration<double, std::milli>;
  std::cout << milliseconds(middle - start).count() << " ms serially, " << milliseconds(end - middle).count()
            << " ms in a pipeline\n";

  if (!r.words.empty()) {
    const auto& [word, count] = *std::ranges::max_element(r.words, {}, &word_counts::value_type::second);
    std::cout << count << " x " << word << '\n';
  }
  std::cout << r.lines.back() << '\n';
  const bool known = argc > 1 || (r.words.at("beer") == 3 * verses && r.words.at("pass") == verses);
  return r == expected && known ? 0 : 1;
}
