// coroutines: tasks on a pool and on the main thread.
#include <chrono>
#include <cstdio>
#include <tutti/core/core.hpp>
#include <tutti/task/task.hpp>
#include <utility>

tutti::task<int> slow(int x) {
  co_await tutti::sleep_for(std::chrono::milliseconds(1));
  co_return x;
}

tutti::task<int> product(tutti::thread_pool& pool) {
  auto six = pool.submit(slow(6));
  auto [seven, one] = co_await tutti::when_all(slow(7), slow(1));
  const int first = co_await std::move(six);
  co_return first* seven* one;
}

int main() {
  tutti::thread_pool pool(2);
  const int answer = tutti::sync_wait(product(pool));
  std::printf("%d\n", answer);
  return answer == 42 ? 0 : 1;
}
