// primes: how many primes there are below a million; one main for the threads of a machine and the ranks of a job.
// Teaches: "ranks" is an executor like the others. Nothing here mentions MPI: ranks other than 0 do not come back from
// make_executor; they run what rank 0 submits, and exit.
//   build/examples/mpi/primes threads:2
//   mpirun -n 4 build/examples/mpi/primes ranks
#include <tutti/core/core.hpp>

#include <cstdint>
#include <iostream>
#include <ranges>

constexpr std::int64_t limit = 1'000'000;
constexpr std::int64_t block = 10'000;

bool is_prime(std::int64_t n) {
  if (n < 2) return false;
  for (std::int64_t d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return true;
}

// Among the numbers of block `number`.
std::int64_t count_primes(std::int64_t number) {
  const std::int64_t first = number * block;
  std::int64_t count = 0;
  for (std::int64_t n = first; n < first + block; ++n) count += is_prime(n) ? 1 : 0;
  return count;
}

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  auto pool = tutti::make_executor(argc > 1 ? argv[1] : "threads");
  std::int64_t primes = 0;
  for (const std::int64_t some : pool->map<count_primes>(std::views::iota(std::int64_t{0}, limit / block))) {
    primes += some;
  }
  std::cout << "primes below " << limit << ": " << primes << '\n';
  return primes == 78'498 ? 0 : 1;
}
