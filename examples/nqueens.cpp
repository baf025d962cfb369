// nqueens: in how many ways n queens stand on an n x n board so that none attacks another.
// Teaches: two ways to search a tree. fork_join at every branch, with no depth below which it goes on serially; and
// parallel_for_each over boards that grows while it runs, as each board feeds those that follow. Usage: nqueens [SIZE]
#include <tutti/tutti.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

namespace {

// The columns that are taken in the next row, as bits: by a queen above, and along both diagonals.
struct board {
  std::uint32_t all = 0, above = 0, left = 0, right = 0;

  bool full() const { return above == all; }
  std::uint32_t free() const { return all & ~(above | left | right); }
  board with(std::uint32_t queen) const { return {all, above | queen, (left | queen) << 1, (right | queen) >> 1}; }
};

long count_serially(const board& b) {
  if (b.full()) return 1;
  long sum = 0;
  for (std::uint32_t free = b.free(); free != 0; free &= free - 1) sum += count_serially(b.with(free & -free));
  return sum;
}

// With the next row's queen in one of the `free` columns.
long count_forking(const board& b, std::uint32_t free) {
  if (free == 0) return b.full() ? 1 : 0;
  const std::uint32_t others = free & (free - 1);
  const board next = b.with(free - others);
  if (others == 0) return count_forking(next, next.free());
  auto [here, there] =
      tutti::fork_join([&] { return count_forking(next, next.free()); }, [&] { return count_forking(b, others); });
  return here + there;
}

// Boards of the first rows are fed, one by one; the few rows that are left below are counted at once.
long count_fed(const board& empty, int rows_fed) {
  struct work {
    board on;
    int row;
  };
  tutti::per_worker<long> counts;
  tutti::parallel_for_each(std::array{work{empty, 0}}, [&](const work& w, tutti::feeder<work>& feed) {
    if (w.row == rows_fed) {
      counts.local() += count_serially(w.on);
      return;
    }
    for (std::uint32_t free = w.on.free(); free != 0; free &= free - 1) feed.add({w.on.with(free & -free), w.row + 1});
  });
  return counts.combine(std::plus<>());
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const int largest = argc > 1 ? std::stoi(argv[1]) : 12;
  const std::vector<long> known{1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2'680, 14'200, 73'712, 365'596, 2'279'184};

  bool right = true;
  for (int n = 1; n <= largest; ++n) {
    const board empty{.all = (std::uint32_t{1} << n) - 1};
    std::cout << n << " queens:";
    const auto time = [&](const char* how, auto count) {
      const auto start = std::chrono::steady_clock::now();
      const long ways = count();
      const auto took = std::chrono::steady_clock::now() - start;
      const auto at = static_cast<std::size_t>(n);
      right = right && (at >= known.size() || ways == known[at]);
      std::cout << ' ' << ways << ' ' << how << " (" << std::chrono::duration<double, std::milli>(took).count()
                << " ms)";
    };
    time("serially", [&] { return count_serially(empty); });
    time("forking", [&] { return count_forking(empty, empty.free()); });
    time("fed", [&] { return count_fed(empty, n / 3); });
    std::cout << '\n';
  }
  return right ? 0 : 1;
}
