// crash_and_retry: a task that dies at its first attempt, among others that do not notice.
// Teaches: a worker process that dies takes its own call with it: worker_lost, which says of what, or another attempt
// with .retries. The pool replaces the worker and goes on; a shared_value outlives whoever has written to it.
#include <tutti/process/process_pool.hpp>
#include <tutti/process/shared_value.hpp>
#include <tutti/tutti.hpp>

#include <csignal>
#include <cstdint>
#include <iostream>
#include <ranges>
#include <string>

namespace crash_and_retry {

// Dies at its first attempt, as a process that took too much memory does.
std::string shaky(tutti::shared_value<int> attempts) {
  if (attempts.fetch_add(1) == 0) std::raise(SIGKILL);
  return "done";
}
std::int64_t square(std::int64_t n) { return n * n; }

}  // namespace crash_and_retry

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  using crash_and_retry::shaky, crash_and_retry::square;
  tutti::process_pool pool({.workers = 3, .name = "workers"});

  // Under way while workers die.
  auto squares = pool.map<square>(std::views::iota(std::int64_t{0}, std::int64_t{20'000}), {.chunk = 100});

  bool lost = false;
  const tutti::shared_value<int> once(0);
  try {
    pool.submit<shaky>(once).get();
  } catch (const tutti::worker_lost& e) {
    std::cout << "without retries: " << e.what() << '\n';
    lost = e.signal() == SIGKILL && std::string(e.what()).find("SIGKILL") != std::string::npos;
  }

  const tutti::shared_value<int> attempts(0);
  const std::string result = pool.with({.retries = 1}).submit<shaky>(attempts).get();
  std::cout << "with retries: " << result << " at attempt " << attempts.load() << '\n';

  std::int64_t sum = 0;
  for (const std::int64_t s : squares) sum += s;
  const tutti::process_pool_stats stats = pool.stats();
  std::cout << "sum of the others: " << sum << "\nworkers lost: " << stats.lost << ", retried: " << stats.retried
            << ", workers now: " << stats.workers << '\n';
  return lost && once.load() == 1 && result == "done" && attempts.load() == 2 && sum == 2'666'466'670'000 &&
                 stats.lost == 2 && stats.retried == 1 && stats.workers == 3
             ? 0
             : 1;
}
