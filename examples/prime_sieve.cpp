// prime_sieve: numbers flow through a chain of filters, one for each prime; what comes through all of them is the next.
// Teaches: a network can grow while it runs. Each filter holds its ends; when the last one has what it wants and lets
// go of the chain, it falls down from there to the source: no process is left, and none was told to stop.
#include <tutti/tutti.hpp>

#include <iostream>
#include <optional>
#include <utility>
#include <vector>

namespace {

using in = tutti::reader<int>;
using out = tutti::writer<int>;

// 2, 3, 4, ... as long as somebody wants them.
tutti::task<> numbers(out to, int& running) {
  ++running;
  try {
    for (int n = 2;; ++n) co_await to.send_async(n);
  } catch (const tutti::closed&) {
  }
  --running;
}

// Passes on what `prime` does not divide.
tutti::task<> filter(int prime, in from, out to, int& running) {
  ++running;
  try {
    while (const std::optional<int> n = co_await from.next_async()) {
      if (*n % prime != 0) co_await to.send_async(*n);
    }
  } catch (const tutti::closed&) {
  }
  --running;
}

// The first so many primes.
tutti::task<std::vector<int>> sieve(std::size_t count, int& running) {
  std::vector<int> primes;
  co_await tutti::task_group::run([&](tutti::task_group& network) -> tutti::task<> {
    auto [first, source] = tutti::make_channel<int>(0, "numbers");
    network.spawn(numbers(std::move(first), running));
    in end_of_chain = std::move(source);
    for (;;) {
      primes.push_back(co_await end_of_chain.receive_async());
      if (primes.size() == count) co_return;
      auto [to, from] = tutti::make_channel<int>(0, "numbers");
      network.spawn(filter(primes.back(), std::move(end_of_chain), std::move(to), running));
      end_of_chain = std::move(from);
    }
  });
  co_return primes;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  int running = 0;
  const std::vector<int> primes = tutti::sync_wait(sieve(25, running));
  for (const int prime : primes) std::cout << prime << ' ';
  std::cout << '\n' << running << " processes left\n";
  const std::vector<int> expected{2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                                  43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97};
  return primes == expected && running == 0 ? 0 : 1;
}
