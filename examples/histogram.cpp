// histogram: a Galton board. Each ball is a number whose bits say left or right at each pin; its bin is how many say
// right. Teaches: what each worker counts in a table of its own (per_worker) is merged at the end. One table of atomics
// for all is right too, and slower than no parallelism at all. Usage: histogram [PINS]
#include <tutti/tutti.hpp>

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

namespace {

using table = std::array<std::uint64_t, 33>;

table merge(table sum, const table& part) {
  for (std::size_t bin = 0; bin < sum.size(); ++bin) sum[bin] += part[bin];
  return sum;
}

table count_serially(const std::vector<std::uint8_t>& bins) {
  table counts{};
  for (const std::uint8_t bin : bins) ++counts[bin];
  return counts;
}

table count_per_worker(const std::vector<std::uint8_t>& bins) {
  tutti::per_worker<table> counts;
  tutti::parallel_for(0, bins.size(), [&](std::size_t first, std::size_t last) {
    table& mine = counts.local();  // looked up once a block
    for (std::size_t i = first; i < last; ++i) ++mine[bins[i]];
  });
  return counts.combine(merge);
}

// Every count moves a cache line from core to core.
table count_atomically(const std::vector<std::uint8_t>& bins) {
  std::array<std::atomic<std::uint64_t>, table{}.size()> counts{};
  tutti::parallel_for_each(bins, [&](std::uint8_t bin) { counts[bin].fetch_add(1, std::memory_order_relaxed); });
  table result{};
  for (std::size_t bin = 0; bin < result.size(); ++bin) result[bin] = counts[bin].load(std::memory_order_relaxed);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const unsigned pins = argc > 1 ? static_cast<unsigned>(std::stoul(argv[1])) : 21;
  std::vector<std::uint8_t> bins(std::size_t{1} << pins);
  tutti::parallel_for(0, bins.size(),
                      [&](std::size_t ball) { bins[ball] = static_cast<std::uint8_t>(std::popcount(ball)); });

  table pascal{1};  // the known answer: the row of Pascal's triangle
  for (unsigned row = 1; row <= pins; ++row) {
    for (std::size_t bin = row; bin > 0; --bin) pascal[bin] += pascal[bin - 1];
  }

  bool right = true;
  const auto time = [&](const char* how, auto count) {
    const auto start = std::chrono::steady_clock::now();
    const table counts = count(bins);
    const auto took = std::chrono::steady_clock::now() - start;
    right = right && counts == pascal;
    std::cout << how << ": " << std::chrono::duration<double, std::milli>(took).count() << " ms\n";
  };
  std::cout << bins.size() << " balls, " << pascal[pins / 2] << " in the middle bin\n";
  time("serially", count_serially);
  time("a table for each worker", count_per_worker);
  time("one table of atomics", count_atomically);
  return right ? 0 : 1;
}
