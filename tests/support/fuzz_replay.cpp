// fuzz_replay: a main() for fuzz targets where libFuzzer is not there: feeds generated inputs for some seconds.
// Use: <target> [--seconds S] [--seed N] [FILE...]; with files, only those are replayed.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using bytes = std::vector<std::uint8_t>;

// Random bytes, with the values that parsers trip over more often than chance would have them.
std::uint8_t random_byte(std::mt19937_64& random) {
  static constexpr std::uint8_t tricky[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, '[',
                                            ']',  '{',  '}',  '"',  '\\', '0',  '-'};
  const std::uint64_t bits = random();
  return bits % 3 == 0 ? tricky[(bits >> 8) % std::size(tricky)] : static_cast<std::uint8_t>(bits >> 16);
}

bytes random_input(std::mt19937_64& random) {
  bytes input(random() % (random() % 8 == 0 ? 4096 : 64));
  for (std::uint8_t& byte : input) byte = random_byte(random);
  return input;
}

// A neighbour of an earlier input: bytes changed, cut, doubled or inserted.
bytes mutate(bytes input, std::mt19937_64& random) {
  for (std::uint64_t edits = 1 + random() % 4; edits > 0; --edits) {
    const std::size_t at = input.empty() ? 0 : random() % input.size();
    const auto where = input.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random() % 4) {
      case 0: input.insert(where, random_byte(random)); break;
      case 1: input.resize(at); break;
      case 2:
        if (!input.empty()) *where = random_byte(random);
        break;
      default: {
        const bytes tail(where, input.end());
        if (input.size() < 4096) input.insert(input.end(), tail.begin(), tail.end());
      }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 2;
  std::uint64_t seed = std::random_device{}();
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--seconds" && i + 1 < argc) {
      seconds = std::atof(argv[++i]);
    } else if (argument == "--seed" && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else {
      files.emplace_back(argument);
    }
  }
  for (const std::string& file : files) {
    std::ifstream in(file, std::ios::binary);
    if (!in) {
      std::fprintf(stderr, "cannot read %s\n", file.c_str());
      return 2;
    }
    const bytes input{std::istreambuf_iterator<char>(in), {}};
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  if (!files.empty()) return 0;

  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);  // the seed must be on paper before an input crashes the program
  std::mt19937_64 random(seed);
  std::vector<bytes> corpus(1);
  std::uint64_t runs = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 100; ++i, ++runs) {
      bytes input = random() % 2 == 0 ? random_input(random) : mutate(corpus[random() % corpus.size()], random);
      LLVMFuzzerTestOneInput(input.data(), input.size());
      if (corpus.size() < 1000) {
        corpus.push_back(std::move(input));
      } else if (random() % 16 == 0) {
        corpus[random() % corpus.size()] = std::move(input);
      }
    }
  }
  std::printf("%llu inputs\n", static_cast<unsigned long long>(runs));
  return 0;
}
