// merge_sort: sorts two million numbers, both halves at once, all the way down.
// Teaches: fork_join with branches that return nothing and work on one array in place. The threshold is there only
// because std::sort is the better algorithm for short pieces, not because forking would cost too much.
#include <tutti/tutti.hpp>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <random>
#include <span>
#include <vector>

namespace {

// Sorts `data`; `buffer` is as long, and what it holds is lost.
void merge_sort(std::span<std::uint32_t> data, std::span<std::uint32_t> buffer) {
  if (data.size() <= 1024) {
    std::ranges::sort(data);
    return;
  }
  const std::size_t half = data.size() / 2;
  tutti::fork_join([&] { merge_sort(data.first(half), buffer.first(half)); },
                   [&] { merge_sort(data.subspan(half), buffer.subspan(half)); });
  std::ranges::merge(data.first(half), data.subspan(half), buffer.begin());
  std::ranges::copy(buffer, data.begin());
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  std::vector<std::uint32_t> data(2'000'000);
  std::mt19937 random(1);
  for (std::uint32_t& number : data) number = static_cast<std::uint32_t>(random());
  std::vector<std::uint32_t> expected = data;
  std::ranges::sort(expected);

  std::vector<std::uint32_t> buffer(data.size());
  merge_sort(data, buffer);
  const bool sorted = data == expected;
  std::cout << data.size() << " numbers from " << data.front() << " to " << data.back()
            << (sorted ? ": sorted\n" : ": WRONG\n");
  return sorted ? 0 : 1;
}
