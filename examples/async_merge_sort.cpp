// async_merge_sort: sorts two million numbers as a tree of tasks: both halves at once, all the way down, then merged.
// Teaches: when_all starts its tasks on the pool it is awaited on, and no thread waits meanwhile: any that is free
// takes what is ready. merge_sort.cpp does the same with fork_join, which is faster where there is only computing to
// do.
#include <tutti/tutti.hpp>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <random>
#include <span>
#include <vector>

namespace {

// Sorts `data` and returns in how many pieces; `buffer` is as long, and what it holds is lost.
tutti::task<int> merge_sort(std::span<std::uint32_t> data, std::span<std::uint32_t> buffer) {
  if (data.size() <= 16'384) {
    std::ranges::sort(data);
    co_return 1;
  }
  const std::size_t half = data.size() / 2;
  const auto [left, right] = co_await tutti::when_all(merge_sort(data.first(half), buffer.first(half)),
                                                      merge_sort(data.subspan(half), buffer.subspan(half)));
  std::ranges::merge(data.first(half), data.subspan(half), buffer.begin());
  std::ranges::copy(buffer, data.begin());
  co_return left + right;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  std::vector<std::uint32_t> data(2'000'000);
  std::mt19937 random(1);
  for (std::uint32_t& number : data) number = static_cast<std::uint32_t>(random());
  std::vector<std::uint32_t> expected = data;

  std::vector<std::uint32_t> buffer(data.size());
  tutti::future<int> sorting = tutti::default_pool().submit(merge_sort(data, buffer));
  std::ranges::sort(expected);  // meanwhile
  const int pieces = sorting.get();

  const bool sorted = data == expected;
  std::cout << data.size() << " numbers in " << pieces << " pieces" << (sorted ? ": sorted\n" : ": WRONG\n");
  return sorted && pieces == 128 ? 0 : 1;
}
