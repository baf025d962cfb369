// Callbacks queued behind one that sleeps: somebody else calls them meanwhile.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <mutex>
#include <tests/support/forks.hpp>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::promise;
using tutti_test::watchdog;

// Two continuations, inline, of futures that become ready at once: `second` is queued behind `first`.
template <class First, class Second>
void one_behind_the_other(First first, Second second) {
  tutti::inline_executor here;
  promise<void> p, q;
  auto f = here.submit([] {}).then([&] { return p.get_future(); });
  auto g = here.submit([] {}).then([&] { return q.get_future(); });
  f.on_done([&] { q.set_value(); });
  auto a = f.then(first);
  auto b = g.then(second);
  p.set_value();
  a.get();
  b.get();
}

TEST(SleepingCallback, WaitsForWhatIsQueuedBehindIt) {
  const watchdog dog;
  promise<int> x;
  auto xf = x.get_future();
  int got = 0;
  one_behind_the_other([&] { got = xf.get(); }, [&] { x.set_value(7); });
  EXPECT_EQ(got, 7);
}

TEST(SleepingCallback, NeedsNoDefaultPool) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  EXPECT_EQ(tutti_test::in_child([] {  // whose default pool is its own
              tutti::default_pool().shutdown();
              promise<int> x;
              auto xf = x.get_future();
              int got = 0;
              one_behind_the_other([&] { got = xf.get(); }, [&] { x.set_value(7); });
              return got;
            }),
            7);
}

// As if the two ran on threads of their own: neither wait lies on top of the other.
TEST(SleepingCallback, IsNotInTheWayOfOneThatWaitsForIt) {
  const watchdog dog;
  promise<void> x, y;
  auto xf = x.get_future(), yf = y.get_future();
  std::jthread other([&] {
    tutti_test::until([] { return tutti_test::waiting_for("future::wait") == 2; });
    x.set_value();
  });
  one_behind_the_other(
      [&] {
        xf.get();
        y.set_value();
      },
      [&] { yf.get(); });
}

TEST(SleepingCallback, ItsLocksAreNotTakenAgain) {
  const watchdog dog;
  std::mutex mutex;
  promise<void> x;
  auto xf = x.get_future();
  std::latch begun(1);
  std::jthread other([&] {
    begun.wait();
    x.set_value();
  });
  one_behind_the_other(
      [&] {
        const std::lock_guard lock(mutex);
        xf.get();
      },
      [&] {
        begun.count_down();
        const std::lock_guard lock(mutex);
      });
}

TEST(SleepingCallback, ItsTimeLimitHolds) {
  const watchdog dog;
  tutti::virtual_clock clock;
  promise<void> never;
  auto f = never.get_future();
  std::latch gate(1);
  std::jthread other([&] {
    tutti_test::until([] { return tutti_test::waiting_for("future::wait_until") == 1; });
    clock.advance(10ms);
  });
  one_behind_the_other(
      [&] {
        EXPECT_FALSE(f.wait_for(10ms));
        gate.count_down();
      },
      [&] { gate.wait(); });
}

TEST(SleepingCallback, ThoseBehindItAreCalledInOrder) {
  const watchdog dog;
  tutti::inline_executor here;
  promise<void> p, last;
  auto lasts = last.get_future();
  auto f = here.submit([] {}).then([&] { return p.get_future(); });
  std::vector<promise<void>> next(100);
  std::vector<int> order;
  std::vector<tutti::future<void>> done;
  for (int i = 0; i < 100; ++i) {
    f.on_done([&next, i] { next[static_cast<std::size_t>(i)].set_value(); });
    auto ready = here.submit([] {}).then([&, i] { return next[static_cast<std::size_t>(i)].get_future(); });
    done.push_back(ready.then([&, i] {
      if (i == 0) lasts.get();
      order.push_back(i);
      if (i == 99) last.set_value();
    }));
  }
  p.set_value();
  for (auto& one : done) one.get();
  ASSERT_EQ(order.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], (i + 1) % 100);
}

TEST(SleepingCallback, MayJoinABranchThatWaitsForWhatIsQueuedBehindIt) {
  const watchdog dog;
  promise<int> x;
  auto xf = x.get_future();
  int got = 0;
  one_behind_the_other(
      [&] {
        std::atomic<bool> stolen{false};
        tutti::fork_join([&] { tutti_test::until([&] { return stolen.load(); }); },
                         [&] {
                           stolen = true;
                           got = xf.get();
                         });
      },
      [&] { x.set_value(7); });
  EXPECT_EQ(got, 7);
}

TEST(SleepingCallback, MayShutDownAPoolThatWaitsForWhatIsQueuedBehindIt) {
  const watchdog dog;
  tutti::thread_pool pool{1};
  promise<int> x;
  auto got = pool.submit([xf = x.get_future()]() mutable { return xf.get(); });
  one_behind_the_other([&] { pool.shutdown(); }, [&] { x.set_value(7); });
  EXPECT_EQ(got.get(), 7);
}

}  // namespace
