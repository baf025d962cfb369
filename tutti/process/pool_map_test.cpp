// Maps on worker processes: which element it was; and callbacks that wait for other calls.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/process/process_pool.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
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
#include <utility>
#include <vector>

namespace pool_map_test {

void nothing() {}
int add(int a, int b) { return a + b; }
int die_at_731(int n) {
  if (n == 731) ::raise(SIGKILL);
  return n;
}
int hang_at_3(int n, const std::string& path) {
  if (n != 3) return n;
  std::ofstream(path) << 'x';
  for (;;) ::pause();
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
  const tutti_test::fresh_path at_three;
  virtual_clock clock;
  process_pool pool({.workers = 1, .grace = 0s});
  std::vector<std::pair<int, std::string>> elements;
  for (int n = 0; n < 5; ++n) elements.emplace_back(n, at_three.path());
  auto all = pool.with({.timeout = 10ms}).submit_bulk<fs::hang_at_3>(elements, {.chunk = 5});
  EXPECT_TRUE(fs::wait_for_file(at_three.path()));
  clock.advance(10ms);
  try {
    static_cast<void>(all.get());
    FAIL() << "it has a result";
  } catch (const timed_out& e) {
    EXPECT_THAT(e.what(),
                AllOf(HasSubstr("timeout of 10 ms for element 3 of its range"), HasSubstr("elements 0 to 4")));
  }
  clock.advance(1ms);  // the grace
}

TEST(PoolMap, SaysHowManyAttemptsThereWere) {
  process_pool pool(1);
  const auto errors =
      errors_of(pool.with({.retries = 2}).map<fs::die_at_731>(std::views::iota(720, 740), {.chunk = 20}));
  ASSERT_EQ(errors.size(), 20u);
  EXPECT_THAT(errors[0], AllOf(HasSubstr("for element 11 of its range"), EndsWith(", its attempt 3")));
  EXPECT_EQ(pool.stats().lost, 3u);
}

// ---------------------------------------------------------------- callbacks

// Completes calls in two ways: on a thread that waits for a result, and, with nobody there, on the pool's own.
class PoolCallbacks : public testing::TestWithParam<bool> {
 protected:
  // What `wait` gives, called in a callback of a call.
  template <class Wait>
  auto inside(Wait wait) {
    std::promise<decltype(wait())> result;
    auto call = pool_.submit<fs::add>(0, 1);
    call.on_done([&](const auto&) { result.set_value(wait()); });
    if (GetParam()) call.get();
    auto waited = result.get_future();
    EXPECT_EQ(waited.wait_for(60s), std::future_status::ready);
    return waited.get();
  }
  process_pool pool_{2};
};

TEST_P(PoolCallbacks, WaitInAnyWayForOtherCalls) {
  EXPECT_EQ(inside([&] { return pool_.submit<fs::add>(1, 2).get(); }), 3);
  EXPECT_EQ(inside([&] { return pool_.submit<fs::add>(1, 2).then([](int n) { return 2 * n; }).get(); }), 6);
  EXPECT_TRUE(inside([&] { return pool_.submit<fs::add>(1, 2).wait_for(60s); }));
  EXPECT_EQ(inside([&] {
              int sum = 0;
              for (const auto& [index, n] : pool_.map_unordered<fs::die_at_731>(std::views::iota(0, 100))) sum += n;
              return sum;
            }),
            4950);
  EXPECT_EQ(inside([&] {
              int sum = 0;
              for (const int n : pool_.map<fs::die_at_731>(std::views::iota(0, 100))) sum += n;
              return sum;
            }),
            4950);
  EXPECT_EQ(inside([&] { return default_pool().submit([&] { return pool_.submit<fs::add>(3, 4).get(); }).get(); }), 7);
}

// In a callback the callbacks of what is completed meanwhile are queued behind it: who sleeps there has others call
// them.
TEST_P(PoolCallbacks, WaitForWhatTheCallbackOfAnotherCallBringsAbout) {
  const tutti_test::fresh_path gate;
  promise<int> first;
  auto begun = first.get_future();
  bool opened = false;
  begun.on_done([&](const auto&) {
    auto slow = pool_.submit<fs::wait_for_file>(gate.path());
    auto quick = pool_.submit<fs::add>(1, 2);
    quick.on_done([&](const auto&) { std::ofstream(gate.path()) << 'x'; });
    opened = slow.get();
  });
  first.set_value(1);
  EXPECT_TRUE(opened);
}

TEST_P(PoolCallbacks, WaitForCallsOfAnotherPoolWhoseCallbacksWaitForThisOnes) {
  process_pool other(1);
  EXPECT_EQ(inside([&] {
              tutti::promise<int> result;  // its wait is one that is seen, unlike that of the standard's
              auto waited = result.get_future();
              auto call = other.submit<fs::add>(1, 1);
              call.on_done([&](const auto&) { result.set_value(pool_.submit<fs::add>(2, 2).get()); });
              call.wait();
              return waited.get();
            }),
            4);
}

TEST(PoolCallbacksMany, WaitForWhatEndsWithTheirOwnCall) {
  process_pool pool({.workers = 1, .grace = 0s});
  const tutti_test::fresh_path never;
  auto runs = pool.submit<fs::wait_for_file>(never.path());
  std::vector<future<int>> queued;
  for (int n = 0; n < 300; ++n) queued.push_back(pool.submit<fs::add>(n, 1));
  int cancelled_too = 0;
  queued.front().on_done([&](const auto&) {
    for (auto one = queued.begin() + 1; one != queued.end(); ++one) {
      try {
        one->get();
      } catch (const cancelled&) {
        ++cancelled_too;
      }
    }
  });
  pool.shutdown(cancel);
  EXPECT_EQ(cancelled_too, 299);
  EXPECT_THROW(runs.get(), cancelled);
}

// The timeouts' own thread has no part in it: it is needed for the next one.
TEST_P(PoolCallbacks, WaitBehindATimeoutForAnother) {
  process_pool pool({.workers = 2, .grace = 0s});
  const tutti_test::fresh_path never;
  std::promise<bool> seen;
  auto first = pool.with({.timeout = 1ms}).submit<fs::wait_for_file>(never.path());
  first.on_done([&](const auto&) {
    try {
      pool.with({.timeout = 1ms}).submit<fs::wait_for_file>(never.path()).get();
      seen.set_value(false);
    } catch (const timed_out&) {
      seen.set_value(true);
    }
  });
  if (GetParam()) {
    EXPECT_THROW(first.get(), timed_out);
  }
  EXPECT_TRUE(seen.get_future().get());
}

INSTANTIATE_TEST_SUITE_P(By, PoolCallbacks, testing::Bool(),
                         [](const auto& by) { return std::string(by.param ? "AThreadThatWaits" : "ThePoolsOwn"); });

TEST(PoolCallbacksMany, WaitForOtherCalls) {
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

TEST(PoolCallbacksMany, WaitBehindAWorkersDeath) {
  process_pool pool(1);
  auto dies = pool.submit<fs::die_at_731>(731);
  std::promise<int> seen;
  dies.on_done([&](const auto&) { seen.set_value(pool.submit<fs::add>(1, 2).get()); });
  EXPECT_THROW(dies.get(), worker_lost);
  EXPECT_EQ(seen.get_future().get(), 3);
  EXPECT_EQ(pool.stats().lost, 1u);
}

TEST(PoolLimits, ASocketFullOfCallsThatWereTakenBackCostsNoWorker) {
  process_pool pool(1);
  const shared_array<int> array(1);
  for (int n = 0; n < 100; ++n) pool.submit<fs::nothing>().get();  // its calls are short, so some are given in advance
  const tutti_test::fresh_path gate;
  auto busy = pool.submit<fs::wait_for_file>(gate.path());
  // So many messages fit into its socket at most, see socket(7).
  int room = 0;
  std::ifstream("/proc/sys/net/core/wmem_default") >> room;
  for (int n = 0; n < room / 256; ++n) {
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
  EXPECT_THROW(static_cast<void>(process_pool(1).with({.retries = -1}).submit<fs::nothing>()), std::invalid_argument);
}

TEST(PoolStreams, TheProgramsInputIsNotForItsWorkers) {
  process_pool pool(1);
  EXPECT_FALSE(pool.submit<fs::has_input>().get());
}

}  // namespace
}  // namespace tutti
