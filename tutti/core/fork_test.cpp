// A forked child goes on using the library, whatever the parent's threads were doing at that moment.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <sstream>
#include <string>
#include <tests/support/forks.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/dump.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/per_worker.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/timers.hpp>
#include <vector>

namespace fork_test {

int local() { return 1; }
int portable() { return 1; }

}  // namespace fork_test

namespace {

using namespace std::chrono_literals;
using tutti_test::in_child;
using tutti_test::in_child_forked_inside;
using tutti_test::watchdog;

// Something of everything that has a lock for the life of the process.
int use_everything() {
  tutti::per_worker<int> counts;
  ++counts.local();
  tutti::promise<void> called;
  auto future = called.get_future();
  auto unused = tutti::call_later(1h, [] {});
  tutti::call_later(0s, [&] { called.set_value(); });
  future.get();
  unused.cancel();
  const int sum = tutti::default_pool()
                      .with({.name = "sum of two"})
                      .submit([] {
                        auto [a, b] = tutti::fork_join([] { return 1; }, [] { return 2; });
                        return a + b;
                      })
                      .get();
  std::ostringstream seen;
  tutti::dump(seen);
  return sum == 3 && seen.str().find("pool \"default\"") != std::string::npos ? 0 : 1;
}

TEST(Fork, WhileOtherThreadsUseEverything) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  const watchdog dog(120s);
  EXPECT_EQ(use_everything(), 0);
  std::atomic<bool> over{false};
  std::vector<std::jthread> busy;
  for (int i = 0; i < 2; ++i) {
    busy.emplace_back([&over] {
      while (!over) std::jthread([] { EXPECT_EQ(use_everything(), 0); }).join();
    });
  }
  for (int i = 0; i < 30; ++i) EXPECT_EQ(in_child(use_everything), 0);
  over = true;
}

// The first use of a function, half done by a thread that is not in the child, must not keep the child from using it.
TEST(Fork, WhileAnotherThreadSubmitsANamedFunctionForTheFirstTime) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  tutti::inline_executor here;
  const auto submit = [&] { return here.submit<fork_test::local>().get(); };
  EXPECT_EQ(in_child_forked_inside(submit, submit), 1);
}

TEST(Fork, WhileAnotherThreadSubmitsAPortableFunctionForTheFirstTime) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  tutti::inline_executor here;
  tutti::executor& place = here;
  const auto submit = [&] { return place.submit<fork_test::portable>().get(); };
  EXPECT_EQ(in_child_forked_inside(submit, submit), 1);
}

TEST(Fork, WhileAnotherThreadMakesTheFirstInlineExecutor) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  const auto make = [] { return tutti::inline_executor().submit([] { return 1; }).get(); };
  EXPECT_EQ(in_child_forked_inside(make, make), 1);
}

TEST(Fork, ParentsPoolsRefuseWorkInTheChildAndCanBeDestroyed) {
  auto pool = std::make_unique<tutti::thread_pool>(tutti::thread_pool_options{.threads = 2, .name = "crunch"});
  EXPECT_EQ(pool->submit([] { return 1; }).get(), 1);
  EXPECT_EQ(in_child([&] {
              try {
                pool->post([] {});
                return 1;
              } catch (const tutti::closed& e) {
                const std::string what = e.what();
                if (what.find("\"crunch\"") == what.npos || what.find("fork") == what.npos) return 2;
              }
              pool.reset();
              return 0;
            }),
            0);
  EXPECT_EQ(pool->submit([] { return 2; }).get(), 2);
}

TEST(Fork, ParentsPoolsCanBeAskedForTheirCountersInTheChild) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  const watchdog dog(120s);
  std::atomic<bool> over{false};
  tutti::thread_pool pool{1};
  std::vector<std::jthread> busy;
  for (int i = 0; i < 2; ++i) {
    busy.emplace_back([&] {
      while (!over) static_cast<void>(pool.stats());
    });
  }
  for (int i = 0; i < 100 && !testing::Test::HasFailure(); ++i) {
    EXPECT_EQ(in_child([&] {
                static_cast<void>(pool.stats());
                return 0;
              }),
              0);
  }
  over = true;
}

TEST(Fork, AChildSeesItsOwnWaitsOnly) {
  const watchdog dog;
  tutti::promise<void> gate;
  auto open = gate.get_future().share();
  std::jthread waiter([open] { open.get(); });
  const auto shown = [] {
    std::ostringstream seen;
    tutti::dump(seen);
    return seen.str();
  };
  while (shown().find("waits in future::wait") == std::string::npos) std::this_thread::yield();
  EXPECT_EQ(in_child([&] { return shown().find("waits in") == std::string::npos ? 0 : 1; }), 0);
  gate.set_value();
}

struct counted final : tutti::timer_entry {
  void due() noexcept override { ++calls; }
  std::atomic<int> calls{0};
};

TEST(Fork, TimersOfTheParentAreNotSetInTheChild) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  const watchdog dog;
  auto dropped = std::make_unique<counted>();
  counted kept;
  dropped->set(tutti::now() + 1h);
  kept.set(tutti::now() + 1h);
  const auto series = tutti::call_every(1h, [] {});
  const auto once = tutti::call_later(1h, [] {});
  EXPECT_EQ(in_child([&] {
              if (tutti::detail::next_timer()) return 1;
              if (kept.cancel() || series.cancel() || once.cancel()) return 2;
              kept.cancel_and_wait();
              dropped.reset();
              kept.set(tutti::now());
              while (kept.calls == 0) std::this_thread::yield();
              kept.set(tutti::now() + 1h);
              return kept.cancel() ? 0 : 3;
            }),
            0);
  EXPECT_TRUE(kept.cancel());
  EXPECT_TRUE(dropped->cancel());
  EXPECT_TRUE(series.cancel());
  EXPECT_TRUE(once.cancel());
}

TEST(Fork, InsideATimersFunction) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  const watchdog dog;
  tutti::virtual_clock clock;
  counted later;
  ::pid_t child = -1;
  tutti::call_later(1s, [&] { child = ::fork(); });
  later.set(clock.now() + 2s);
  clock.advance(3s);
  if (child == 0) {  // the call has returned in the child, too
    ::alarm(30);
    const bool none = later.calls == 0;
    later.set(clock.now() + 1s);
    clock.advance(1s);
    ::_exit(none && later.calls == 1 ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(later.calls, 1);
}

}  // namespace
