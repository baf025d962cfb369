// first: the first program to read: an ordinary function, called for a million numbers wherever the command line says.
// Teaches: init, make_executor, and map, which gives the results in input order. Naming the function in map<...> is all
// it takes to run it on other threads (and, as modules arrive, on other machines). Usage: first [EXECUTOR]
#include <tutti/tutti.hpp>

#include <algorithm>
#include <iostream>
#include <ranges>

// How long until n, halved or tripled plus one again and again, reaches 1?
int collatz_steps(long n) { return n == 1 ? 0 : 1 + collatz_steps(n % 2 == 0 ? n / 2 : 3 * n + 1); }

int main(int argc, char** argv) {
  tutti::init(argc, argv);                                           // first line of main
  auto pool = tutti::make_executor(argc > 1 ? argv[1] : "threads");  // or "inline", "threads:8", ...
  int longest = 0;
  for (int steps : pool->map<collatz_steps>(std::views::iota(1L, 1'000'000L))) longest = std::max(longest, steps);
  std::cout << "the longest way to 1 from below a million takes " << longest << " steps\n";
  return longest == 524 ? 0 : 1;
}
