// pool_squares: the squares of 0 to 99 from four worker processes, and from four threads: one function for both.
// Teaches: code for an executor& does not care where calls run. map gives results in input order, as they are read;
// submit_bulk all of them at once. Arguments and results travel: what a process changes in its memory does not.
#include <tutti/process/process_pool.hpp>
#include <tutti/tutti.hpp>

#include <unistd.h>

#include <iostream>
#include <ranges>
#include <vector>

namespace pool_squares {

int square(int n) { return n * n; }
int plus_ten(int n) { return n + 10; }
int where() { return ::getpid(); }

// `elsewhere`: whether this executor must leave this process.
bool check(const char* form, tutti::executor& pool, bool elsewhere) {
  int sum = 0, n = 0;
  bool right = true;
  for (const int result : pool.map<square>(std::views::iota(0, 100))) {
    right = right && result == n * n;
    sum += result;
    ++n;
  }
  // Nine numbers in, nine out. (In the book ten: it prints what another program has computed.)
  const std::vector<int> numbers{1, 2, 3, 5, 6, 7, 8, 9, 10};
  const std::vector<int> raised = pool.submit_bulk<plus_ten>(numbers).get();
  std::cout << form << ": " << n << " squares, sum " << sum << "; plus ten:";
  for (const int r : raised) std::cout << ' ' << r;
  std::cout << '\n';
  return right && n == 100 && sum == 328'350 && raised == std::vector<int>{11, 12, 13, 15, 16, 17, 18, 19, 20} &&
         (pool.submit<where>().get() != ::getpid()) == elsewhere;
}

}  // namespace pool_squares

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  tutti::process_pool processes(4);
  tutti::thread_pool threads(4);
  bool right = pool_squares::check("processes", processes, true);
  right = pool_squares::check("threads", threads, false) && right;
  return right ? 0 : 1;
}
