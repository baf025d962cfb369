// prime_checker: which of these numbers are prime? The large one is asked first; the small ones are answered first.
// Teaches: yield_now between slices of a long computation lets others have the thread, so that it stays responsive even
// on a pool of one. The awaiting tasks go on on the thread of main, one at a time: they share data without a lock.
#include <tutti/tutti.hpp>

#include <cstdint>
#include <iostream>
#include <vector>

namespace {

// Trial division, 100,000 divisors at a time.
tutti::task<bool> is_prime(std::uint64_t n) {
  if (n < 2 || n % 2 == 0) co_return n == 2;
  std::uint64_t slice_end = 200'000;
  for (std::uint64_t divisor = 3; divisor * divisor <= n; divisor += 2) {
    if (n % divisor == 0) co_return false;
    if (divisor < slice_end) continue;
    slice_end += 200'000;
    co_await tutti::yield_now();
  }
  co_return true;
}

struct question {
  std::uint64_t n;
  bool expected;
};

// Computes on the pool, answers here; true when the answer is right.
tutti::task<bool> answer(question q, std::vector<std::uint64_t>& answered) {
  const bool prime = co_await tutti::default_pool().submit(is_prime(q.n));
  std::cout << q.n << (prime ? " is prime\n" : " is not prime\n");
  answered.push_back(q.n);
  co_return prime == q.expected;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  constexpr std::uint64_t large = 9'637'529'763'296'797;
  constexpr question questions[] = {{large, true}, {427'920'331, true}, {323, false}, {157, true}};

  std::vector<std::uint64_t> answered;
  std::vector<tutti::task<bool>> answers;
  for (const question& q : questions) answers.push_back(answer(q, answered));
  bool right = true;
  for (const bool one : tutti::sync_wait(tutti::when_all(std::move(answers)))) right = right && one;
  return right && answered.back() == large ? 0 : 1;
}
