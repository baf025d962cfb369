// fibonacci: the smallest recursive program, two million calls that could each run elsewhere.
// Teaches: fork_join runs two functions at once and returns both results; it nests freely and costs a few nanoseconds,
// so no threshold is needed below which the program goes on serially. Idle cores take the largest piece on offer.
#include <tutti/tutti.hpp>

#include <iostream>

namespace {

long fibonacci(int n) {
  if (n < 2) return n;
  auto [a, b] = tutti::fork_join([&] { return fibonacci(n - 1); }, [&] { return fibonacci(n - 2); });
  return a + b;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const long result = fibonacci(32);
  std::cout << "fibonacci(32) = " << result << '\n';
  return result == 2'178'309 ? 0 : 1;
}
