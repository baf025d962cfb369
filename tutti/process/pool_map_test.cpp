// Maps on worker processes: which element it was; and callbacks that wait for other calls.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/process/process_pool.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/shared_array.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <future>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <tests/support/processes.hpp>
#include <thread>
#include <vector>

namespace pool_map_test {

void nothing() {}
int add(int a, int b) { return a + b; }
int die_at_731(int n) {
  if (n == 731) ::raise(SIGKILL);
  return n;
}
int hang_at_3(int n) {
  while (n == 3) ::pause();
  return n;
}
bool wait_for_file(const std::string& path) {
  while (::access(path.c_str(), F_OK) != 0) std::this_thread::yield();
  return true;
}
int first_of(tutti::shared_array<int> array) { return array[0]; }
bool has_input() {
  char c = 0;
  return ::read(STDIN_FILENO, &c, 1) > 0;
}

}  // namespace pool_map_test

namespace tutti {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
namespace fs = pool_map_test;

// What the elements of a map end with that do not end well.
template <class Results>
std::vector<std::string> errors_of(Results results) {
  std::vector<std::string> errors;
  for (auto at = results.begin(); at != results.end(); ++at) {
    try {
      static_cast<void>(*at);
    } catch (const error& e) {
      errors.emplace_back(e.what());
    }
  }
  return errors;
}

TEST(PoolMap, SaysWhichElementHasKilledItsWorker) {
  process_pool pool(2);
  const auto single = errors_of(pool.map<fs::die_at_731>(std::views::iota(0, 1000), {.chunk = 1}));
  ASSERT_EQ(single.size(), 1u);
  EXPECT_THAT(single[0], EndsWith("die_at_731\" for element 731 of its range"));
  const auto chunk = errors_of(pool.map<fs::die_at_731>(std::views::iota(0, 1000), {.chunk = 100}));
  ASSERT_EQ(chunk.size(), 100u);
  for (const std::string& text : chunk)
    EXPECT_THAT(text, HasSubstr("for element 731 of its range; elements 700 to 799 are lost with it"));
  // From the first on, not from that of the chunk.
  try {
    static_cast<void>(pool.submit_bulk<fs::die_at_731>(std::views::iota(700, 800), {.chunk = 10}).get());
    FAIL() << "it has a result";
  } catch (const worker_lost& e) {
    EXPECT_THAT(e.what(), HasSubstr("for element 31 of its range; elements 30 to 39 are lost with it"));
  }
}

TEST(PoolMap, SaysWhichElementTakesTooLong) {
  process_pool pool({.workers = 1, .grace = 0s});
  const auto errors = errors_of(pool.with({.timeout = 10ms}).map<fs::hang_at_3>(std::views::iota(0, 5), {.chunk = 5}));
  ASSERT_EQ(errors.size(), 5u);
  EXPECT_THAT(errors[0], AllOf(HasSubstr("timeout of 10 ms for element 3 of its range"), HasSubstr("elements 0 to 4")));
}

TEST(PoolMap, SaysHowManyAttemptsThereWere) {
  process_pool pool(1);
  const auto errors =
      errors_of(pool.with({.retries = 2}).map<fs::die_at_731>(std::views::iota(731, 732), {.chunk = 1}));
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_THAT(errors[0], HasSubstr("for element 0 of its range, its attempt 3"));
  EXPECT_EQ(pool.stats().lost, 3u);
}

TEST(PoolCallbacks, MayWaitForOtherCalls) {
  constexpr int count = 200;
  // With a thread that waits for a result, which runs them, and with none.
  for (const bool visited : {true, false}) {
    process_pool pool(2);
    std::atomic<int> sum{0}, left{count};
    std::promise<void> all;
    std::vector<future<int>> first;
    for (int n = 0; n < count; ++n) {
      first.push_back(pool.submit<fs::add>(n, 1));
      first.back().on_done([&, other = std::make_shared<future<int>>(pool.submit<fs::add>(n, 2))](const auto&) {
        sum += other->get();
        if (left.fetch_sub(1) == 1) all.set_value();
      });
    }
    if (visited) {
      for (auto& one : first) one.get();
    }
    all.get_future().wait();
    EXPECT_EQ(sum, count * (count - 1) / 2 + 2 * count);
  }
}

TEST(PoolCallbacks, MayWaitBehindAWorkersDeath) {
  process_pool pool(1);
  auto dies = pool.submit<fs::die_at_731>(731);
  std::promise<int> seen;
  dies.on_done([&](const auto&) { seen.set_value(pool.submit<fs::add>(1, 2).get()); });
  EXPECT_THROW(dies.get(), worker_lost);
  EXPECT_EQ(seen.get_future().get(), 3);
}

TEST(PoolLimits, ASocketFullOfCallsThatWereTakenBackCostsNoWorker) {
  process_pool pool(1);
  const shared_array<int> array(1);
  EXPECT_EQ(pool.submit<fs::first_of>(array).get(), 0);
  const tutti_test::fresh_path gate;
  auto busy = pool.submit<fs::wait_for_file>(gate.path());
  for (int n = 0; n < 1000; ++n) {
    auto unwanted = pool.with({.retries = 1}).submit<fs::first_of>(array);
    unwanted.cancel();
    EXPECT_THROW(unwanted.get(), cancelled);
  }
  std::ofstream(gate.path()) << 'x';
  EXPECT_TRUE(busy.get());
  EXPECT_EQ(pool.with({.retries = 1}).submit<fs::first_of>(array).get(), 0);
  EXPECT_EQ(pool.stats().lost, 0u);
  EXPECT_EQ(pool.stats().started, 2u);  // so the socket was full
}

TEST(PoolLimits, AMemoryLimitThatIsNoneIsRefused) {
  try {
    const process_pool pool({.workers = 1, .memory_limit = 512});
    FAIL() << "it was made";
  } catch (const std::invalid_argument& e) {
    EXPECT_THAT(e.what(), HasSubstr("a memory_limit of 512 bytes; give at least 1048576"));
  }
  EXPECT_THROW(process_pool(1).with({.retries = -1}).submit<fs::nothing>(), std::invalid_argument);
}

TEST(PoolStreams, TheProgramsInputIsNotForItsWorkers) {
  process_pool pool(1);
  EXPECT_FALSE(pool.submit<fs::has_input>().get());
}

}  // namespace
}  // namespace tutti
