// primes: which of the 500 numbers from 10^13 on are prime, by trial division: calls of very different length.
// Teaches: map balances them: an even number takes a nanosecond, a prime milliseconds, and the size of the pieces
// follows the measured time. The results come in input order all the same. Usage: primes [EXECUTOR]
#include <tutti/tutti.hpp>

#include <cstdint>
#include <iostream>
#include <ranges>
#include <vector>

namespace primes {

bool is_prime(std::uint64_t n) {
  if (n % 2 == 0) return n == 2;
  for (std::uint64_t divisor = 3; divisor * divisor <= n; divisor += 2) {
    if (n % divisor == 0) return false;
  }
  return n > 1;
}

}  // namespace primes

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  auto pool = tutti::make_executor(argc > 1 ? argv[1] : "threads");
  constexpr std::uint64_t first = 10'000'000'000'000;
  std::vector<std::uint64_t> found;
  std::uint64_t n = first;
  for (const bool prime : pool->map<primes::is_prime>(std::views::iota(first, first + 500))) {
    if (prime) found.push_back(n);
    ++n;
  }
  for (const std::uint64_t prime : found) std::cout << prime << '\n';
  std::cout << found.size() << " primes\n";
  return found.size() == 16 && found.front() == first + 37 && found.back() == first + 453 ? 0 : 1;
}
