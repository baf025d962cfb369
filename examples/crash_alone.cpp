// crash_alone: square roots in worker processes, one of which aborts: the call fails, the pool and the program go on.
// Teaches: process_pool, an executor whose calls may crash. What died, of what and while it ran what is in the error;
// the worker is replaced, and no other call notices.
#include <tutti/tutti.hpp>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <vector>

double root(double x) {
  if (x < 0) std::abort();  // ends its process, and nothing else
  return std::sqrt(x);
}

int main(int argc, char** argv) {
  tutti::init(argc, argv);      // first line of main: worker processes begin their life in it
  tutti::process_pool pool(2);  // two of them
  double sum = 0;
  for (double r : pool.map<root>(std::vector{1.0, 4.0, 9.0})) sum += r;
  try {
    pool.submit<root>(-1.0).get();
  } catch (const tutti::worker_lost& e) {
    std::cout << e.what() << '\n';  // worker 2 (pid 4711) of process_pool ... was killed by SIGABRT while it ran ...
  }
  sum += pool.submit<root>(16.0).get();  // by another worker
  std::cout << "the sum is " << sum << '\n';
  return sum == 10 && pool.stats().lost == 1 ? 0 : 1;
}
