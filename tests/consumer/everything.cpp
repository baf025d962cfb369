// everything: a loop on every core, through the one header for everything that is linked.
#include <atomic>
#include <cstdio>
#include <tutti/tutti.hpp>

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  std::atomic<long> sum = 0;
  tutti::parallel_for(0, 1000, [&](int i) { sum += i; });
  const auto [a, b] = tutti::fork_join([] { return 6; }, [] { return 7; });
  std::printf("%ld %d\n", sum.load(), a * b);
  return sum == 499500 && a * b == 42 ? 0 : 1;
}
