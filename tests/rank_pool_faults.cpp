// rank_pool when ranks die: a plain `int main` with make_executor("ranks"), as documented, for a launcher that lets the
// others live. Rank 0 checks; the exit code says.
#include <tutti/base/error.hpp>
#include <tutti/base/init.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/this_task.hpp>

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace rank_pool_faults {

int pid() { return ::getpid(); }
int square(int x) { return x * x; }
int die() {
  ::kill(::getpid(), SIGKILL);
  return 0;
}
// Dies the first time, of whatever processes run it.
int die_once(const std::string& mark) {
  if (!std::filesystem::exists(mark)) {
    std::ofstream(mark) << "x";
    ::kill(::getpid(), SIGKILL);
  }
  return ::getpid();
}
void wait_for_file(const std::string& mark) {
  while (!std::filesystem::exists(mark)) std::this_thread::yield();
}

int failures = 0;
void check(bool ok, const std::string& what) {
  if (ok) return;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
  ++failures;
}

void expect_lost(tutti::future<int> f, const std::string& what) {
  try {
    f.get();
    check(false, what + ": no exception");
  } catch (const tutti::worker_lost& lost) {
    const std::string text = lost.what();
    for (const char* part : {"rank ", "process ", " on "}) check(text.find(part) != text.npos, what + ": " + text);
  }
}

}  // namespace rank_pool_faults

int main(int argc, char** argv) {
  using namespace rank_pool_faults;
  tutti::init(argc, argv);
  const std::string mark = std::string(argc > 1 ? argv[1] : "/tmp/rank_pool_faults") + "." + std::to_string(::getpid());
  auto pool = tutti::make_executor("ranks");
  const int workers = pool->concurrency();
  check(workers == 4, "this test wants 5 ranks");

  // While it is idle: nobody's call fails.
  const int idle = pool->submit<pid>().get();
  ::kill(idle, SIGKILL);
  for (int i = 0; i < 100; ++i) check(pool->submit<square>(i).get() == i * i, "a call beside a death");
  while (pool->concurrency() == workers) std::this_thread::yield();

  // While it works: its own call fails, those of others and those that wait do not.
  expect_lost(pool->submit<die>(), "a call that dies");
  check(pool->concurrency() == workers - 2, "two workers less");
  int sum = 0;
  for (const int x : pool->map<square>(std::vector<int>(1000, 2))) sum += x;
  check(sum == 4000, "map with those that are left");

  // With retries it runs elsewhere.
  check(pool->with({.retries = 1}).submit<die_once>(mark).get() != ::getpid(), "a retried call");
  check(pool->concurrency() == workers - 3, "three workers less");

  // The last one: what it ran fails, and so does what waits, and what comes.
  auto blocked = pool->submit<die>();
  auto waiting = pool->submit<square>(3);
  expect_lost(std::move(blocked), "the last worker's call");
  try {
    waiting.get();
    check(false, "no worker is left");
  } catch (const tutti::worker_lost&) {
  }
  try {
    pool->submit<square>(3).get();
    check(false, "no worker is left, still");
  } catch (const tutti::worker_lost&) {
  }
  pool->shutdown();
  std::filesystem::remove(mark);
  if (failures == 0) std::puts("ok");
  return failures == 0 ? 0 : 1;
}
