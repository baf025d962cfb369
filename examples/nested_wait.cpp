// nested_wait: tasks that submit tasks and wait for them, a thousand deep, on a pool with a single thread.
// Teaches: waiting inside a task is allowed. A pool whose threads merely block would stand still here; this one runs
// the awaited task itself, and starts a spare thread where it cannot, so its threads never all wait for each other.
#include <tutti/tutti.hpp>

#include <iostream>

namespace {

// One task below the other, each waiting for the next.
int chain(tutti::thread_pool& pool, int length) {
  if (length == 0) return 0;
  return 1 + pool.submit([&pool, length] { return chain(pool, length - 1); }).get();
}

// A tree of tasks, each waiting for two.
int tree(tutti::thread_pool& pool, int depth) {
  if (depth == 0) return 1;
  tutti::future<int> left = pool.submit([&pool, depth] { return tree(pool, depth - 1); });
  tutti::future<int> right = pool.submit([&pool, depth] { return tree(pool, depth - 1); });
  return 1 + left.get() + right.get();
}

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  tutti::thread_pool pool(1);
  const int chained = pool.submit([&] { return chain(pool, 1000); }).get();
  const int nodes = pool.submit([&] { return tree(pool, 10); }).get();
  std::cout << "a chain of " << chained << " waits and a tree of " << nodes << " tasks, on one thread\n";
  return chained == 1000 && nodes == 2047 ? 0 : 1;
}
