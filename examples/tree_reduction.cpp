// tree_reduction: workers take two numbers from a queue and put their sum back, until one is left.
// Teaches: what makes that right for any number of numbers and workers. The book's version (four workers, 0 to 19) gave
// 190 in 44 of 60 runs: workers that hold one number each wait for, or put back, what another one holds.
#include <tutti/tutti.hpp>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <mutex>
#include <numeric>
#include <utility>
#include <vector>

namespace {

class reduction {
 public:
  explicit reduction(const std::vector<long>& numbers)
      : left_(static_cast<long>(numbers.size()) - 1), queue_(static_cast<std::ptrdiff_t>(numbers.size()), "numbers") {
    for (const long number : numbers) queue_.send(number);
  }

  // n numbers need n - 1 additions, whoever does them: each is claimed before its numbers are taken, so nobody waits
  // for numbers that will not come.
  void work() {
    while (left_.fetch_sub(1, std::memory_order_relaxed) > 0) {
      const auto [a, b] = take_two();
      queue_.send(a + b);  // never waits: two were taken
      additions_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  long result() { return queue_.try_receive().value_or(0); }  // nothing sums up to 0
  long additions() const { return additions_.load(std::memory_order_relaxed); }

 private:
  // Only one worker at a time holds one number and waits for another: every other number is in the queue, or in the
  // hands of somebody who adds, and then comes back.
  std::pair<long, long> take_two() {
    const std::lock_guard lock(pair_);
    const long a = queue_.receive();
    return {a, queue_.receive()};
  }

  std::atomic<long> left_;
  std::atomic<long> additions_{0};
  tutti::mutex pair_{"pair"};
  tutti::channel<long> queue_;
};

// The sum of the numbers below n.
bool check(long n, int workers) {
  std::vector<long> numbers(static_cast<std::size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 0);
  reduction r(numbers);
  {
    std::vector<tutti::thread> team;
    team.reserve(static_cast<std::size_t>(workers));
    for (int i = 0; i < workers; ++i) team.emplace_back("adder", [&r] { r.work(); });
    for (tutti::thread& one : team) one.join();
  }
  const long result = r.result();
  if (result == n * (n - 1) / 2 && r.additions() == std::max(n - 1, 0L)) return true;
  std::cout << n << " numbers, " << workers << " workers: " << result << " after " << r.additions() << " additions\n";
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  int runs = 0, wrong = 0;
  const auto run = [&](long n, int workers) {
    ++runs;
    if (!check(n, workers)) ++wrong;
  };
  for (int i = 0; i < 60; ++i) run(20, 4);
  for (int workers = 1; workers <= 8; ++workers) {
    for (long n = 0; n <= 21; ++n) run(n, workers);
  }
  run(20'000, 3);
  std::cout << runs - wrong << " of " << runs << " sums right\n";
  return wrong == 0 ? 0 : 1;
}
