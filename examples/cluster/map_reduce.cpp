// map_reduce: `map_reduce [BROKER]`: SCOOP's map and mapReduce on a fleet, and a Monte Carlo estimate of pi.
// Teaches: a group is a map: its results come in the order of its tasks. A chord is a mapReduce: the body gets all
// results, on whichever worker has time, and the client waits for one number. Pieces of work that take less than a
// millisecond are put together: here 100 numbers to a task, which cost one message.
#include <examples/cluster/fleet.hpp>
#include <tutti/base/init.hpp>
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/signature.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <iostream>
#include <numeric>
#include <random>
#include <vector>

namespace numbers {

int twice(int x) { return 2 * x; }

// The sums of the lists [a, a, ..., a] of a elements, for a from `first` on.
std::int64_t sums_of_lists(int first, int count) {
  std::int64_t sum = 0;
  for (int a = first; a < first + count; ++a) {
    const std::vector<std::int64_t> list(static_cast<std::size_t>(a), a);
    sum = std::accumulate(list.begin(), list.end(), sum);
  }
  return sum;
}

std::int64_t total(std::vector<std::int64_t> parts) {
  return std::accumulate(parts.begin(), parts.end(), std::int64_t{0});
}

// How many of `count` random points lie in the quarter of the unit circle.
std::int64_t points_inside(std::uint32_t seed, int count) {
  std::mt19937 random(seed);
  const auto coordinate = [&] { return static_cast<double>(random()) / 4294967296.0; };
  std::int64_t inside = 0;
  for (int i = 0; i < count; ++i) {
    const double x = coordinate(), y = coordinate();
    inside += x * x + y * y < 1 ? 1 : 0;
  }
  return inside;
}

}  // namespace numbers

namespace {

using namespace std::chrono_literals;
namespace cluster = tutti::cluster;

const cluster::function twice{tutti::fn<numbers::twice>};
const cluster::function sums_of_lists{tutti::fn<numbers::sums_of_lists>};
const cluster::function total{tutti::fn<numbers::total>};
const cluster::function points_inside{tutti::fn<numbers::points_inside>};

constexpr auto patience = 60s;

}  // namespace

int main(int argc, char** argv) try {
  tutti::init(argc, argv);
  fleet here(argc, argv);
  here.hire({.concurrency = 2});

  // futures.map(twice, [1, ..., 10])
  std::vector<cluster::signature> calls;
  for (int x = 1; x <= 10; ++x) calls.push_back(twice.s(x));
  const std::vector<int> doubled = cluster::group(calls).delay<int>().get(patience);
  for (const int x : doubled) std::cout << x << ' ';
  std::cout << '\n';
  bool right = doubled == std::vector<int>{2, 4, 6, 8, 10, 12, 14, 16, 18, 20};

  // futures.mapReduce(sum, operator.add, [[a] * a for a in range(1000)])
  std::vector<cluster::signature> parts;
  for (int first = 0; first < 1000; first += 100) parts.push_back(sums_of_lists.s(first, 100));
  const auto sum = cluster::chord(parts, total.s()).delay<std::int64_t>().get(patience);
  std::cout << sum << '\n';
  right &= sum == 332'833'500;

  // 100 tasks of 10,000 points: the same seeds, the same number, wherever they run.
  std::vector<cluster::signature> throws;
  throws.reserve(100);
  for (std::uint32_t seed = 0; seed < 100; ++seed) throws.push_back(points_inside.s(seed, 10'000));
  const auto inside = cluster::chord(throws, total.s()).delay<std::int64_t>().get(patience);
  const double pi = 4 * static_cast<double>(inside) / 1e6;
  std::int64_t expected = 0;
  for (std::uint32_t seed = 0; seed < 100; ++seed) expected += points_inside(seed, 10'000);
  std::cout << "pi is about " << pi << '\n';
  return right && inside == expected && std::abs(pi - 3.14159265) < 0.01 ? 0 : 1;
} catch (const std::exception& e) {  // no broker there
  std::cerr << e.what() << '\n';
  return 1;
}
