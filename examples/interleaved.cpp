// interleaved: a factorial, a Fibonacci number and a binomial coefficient, a second for each step, take turns: 10 s.
// Teaches: when_all gives the results of its tasks as a tuple. The tasks go on in the order in which they began to
// wait, so a program on one thread runs the same way every time. One after the other they would take 29 s.
#include <tutti/tutti.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <utility>

namespace {

using namespace std::chrono_literals;

// Each task writes a letter per step: f for factorial, F for Fibonacci, b for binomial.
tutti::task<long> factorial(int n, std::string& steps) {
  long product = 1;
  for (int i = 2; i <= n; ++i) {
    steps += 'f';
    co_await tutti::sleep_for(1s);
    product *= i;
  }
  co_return product;
}

tutti::task<long> fibonacci(int n, std::string& steps) {
  long a = 0;
  long b = 1;
  for (int i = 0; i < n; ++i) {
    steps += 'F';
    co_await tutti::sleep_for(1s);
    a = std::exchange(b, a + b);
  }
  co_return a;
}

tutti::task<long> binomial(int n, int k, std::string& steps) {
  long result = 1;
  for (int i = 1; i <= k; ++i) {
    steps += 'b';
    co_await tutti::sleep_for(1s);
    result = result * (n - i + 1) / i;  // without a remainder: i consecutive factors contain a multiple of i
  }
  co_return result;
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  const tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  const auto start = tutti::now();

  std::string steps;
  const auto [product, sum, choices] =
      tutti::sync_wait(tutti::when_all(factorial(10, steps), fibonacci(10, steps), binomial(20, 10, steps)));
  const std::chrono::nanoseconds time = tutti::now() - start;

  std::cout << "10! = " << product << ", fibonacci(10) = " << sum << ", 20 over 10 = " << choices << '\n'
            << steps << ": " << steps.size() << " steps in " << time / 1.0s << " s\n";
  const bool results = product == 3'628'800 && sum == 55 && choices == 184'756;
  return results && steps == "fFbfFbfFbfFbfFbfFbfFbfFbfFbFb" && time == 10s ? 0 : 1;
}
