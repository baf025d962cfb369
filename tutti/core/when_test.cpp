// Several futures as one: wait, as_completed, when_all, when_any.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/when.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::future;
using tutti::promise;
using tutti::wait_for;
using tutti_test::watchdog;
using indices = std::vector<std::size_t>;

const auto some_error = std::make_exception_ptr(std::runtime_error("some error"));

// Futures with their promises.
template <class T>
struct pairs {
  explicit pairs(std::size_t n) : promises(n) {
    for (auto& p : promises) futures.push_back(p.get_future());
  }
  std::vector<promise<T>> promises;
  std::vector<future<T>> futures;
};

// ---------------------------------------------------------------- wait

TEST(Wait, All) {
  const watchdog dog;
  pairs<int> p(3);
  std::jthread other([&] {
    p.promises[2].set_value(2);
    p.promises[0].set_exception(some_error);
    p.promises[1].set_value(1);
  });
  const auto status = tutti::wait(p.futures);
  EXPECT_EQ(status.done, (indices{0, 1, 2}));
  EXPECT_TRUE(status.pending.empty());
  EXPECT_THROW(p.futures[0].get(), std::runtime_error) << "results and errors stay in the futures";
  EXPECT_EQ(p.futures[1].get(), 1);
}

TEST(Wait, First) {
  const watchdog dog;
  pairs<int> p(3);
  p.promises[1].set_value(5);
  const auto status = tutti::wait(p.futures, wait_for::first);
  EXPECT_EQ(status.done, indices{1});
  EXPECT_EQ(status.pending, (indices{0, 2}));
  p.promises[0].set_exception(some_error);
  EXPECT_EQ(tutti::wait(p.futures, wait_for::first).done, (indices{0, 1}));
}

TEST(Wait, FirstError) {
  const watchdog dog;
  pairs<int> p(3);
  std::jthread other([&] {
    p.promises[0].set_value(1);
    p.promises[2].set_exception(some_error);
  });
  const auto status = tutti::wait(p.futures, wait_for::first_error);
  EXPECT_EQ(status.done, (indices{0, 2}));
  EXPECT_EQ(status.pending, indices{1});
  p.promises[1].set_value(0);
}

TEST(Wait, FirstErrorWithoutErrorsIsAll) {
  const watchdog dog;
  pairs<int> p(2);
  std::jthread other([&] {
    for (auto& one : p.promises) one.set_value(1);
  });
  EXPECT_EQ(tutti::wait(p.futures, wait_for::first_error).done, (indices{0, 1}));
}

TEST(Wait, NothingToWaitFor) {
  std::vector<future<int>> none;
  for (const auto mode : {wait_for::all, wait_for::first, wait_for::first_error}) {
    const auto status = tutti::wait(none, mode);
    EXPECT_TRUE(status.done.empty());
    EXPECT_TRUE(status.pending.empty());
  }
}

TEST(Wait, EmptyFuturesAreAnError) {
  std::vector<future<int>> empty(1);
  for (const auto mode : {wait_for::all, wait_for::first, wait_for::first_error}) {
    EXPECT_THROW(tutti::wait(empty, mode), std::logic_error);
  }
}

TEST(Wait, AZeroLimitOnlyLooks) {
  pairs<int> p(2);
  p.promises[0].set_value(1);
  for (const auto mode : {wait_for::all, wait_for::first_error}) {
    for (const auto limit : {0ns, std::chrono::nanoseconds(-5s)}) {
      const auto status = tutti::wait(p.futures, mode, limit);
      EXPECT_EQ(status.done, indices{0});
      EXPECT_EQ(status.pending, indices{1});
    }
  }
}

TEST(Wait, TheLimitIsOnTuttisClockAndForAllTogether) {
  const watchdog dog;
  for (const auto mode : {wait_for::all, wait_for::first, wait_for::first_error}) {
    tutti::virtual_clock clock;
    pairs<int> p(3);
    std::atomic<bool> over{false};
    std::jthread other([&] {
      while (!over) {
        clock.advance(1s);
        std::this_thread::yield();
      }
    });
    const auto status = tutti::wait(p.futures, mode, 10s);
    over = true;
    EXPECT_EQ(status.pending, (indices{0, 1, 2}));
  }
}

TEST(Wait, AgainAndAgainLeavesNothingBehind) {
  promise<int> p;
  std::vector<future<int>> futures;
  futures.push_back(p.get_future());
  const auto memory = [] { return ::mallinfo2().uordblks; };
  wait(futures, wait_for::first, 0s);
  const auto before = memory();
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(wait(futures, wait_for::first, 0s).done.empty());
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(wait(futures, wait_for::first_error, 0s).done.empty());
  EXPECT_LE(memory(), before) << "a callback per wait stays with the future";
  p.set_value(1);
  EXPECT_EQ(wait(futures, wait_for::first).done.size(), 1U);
}

TEST(Wait, OfArraysAndOfTasksOnAPoolOfOne) {
  const watchdog dog;
  tutti::thread_pool pool(1);
  EXPECT_EQ(pool.submit([&] {
                  std::array futures{pool.submit([] { return 1; }), pool.submit([] { return 2; })};
                  const auto n = tutti::wait(futures, wait_for::first).done.size();
                  EXPECT_GE(n, 1U);
                  tutti::wait(futures);
                  return futures[0].get() + futures[1].get();
                })
                .get(),
            3);
}

// ---------------------------------------------------------------- as_completed

TEST(AsCompleted, InOrderOfCompletion) {
  const watchdog dog;
  pairs<int> p(4);
  const std::array<std::size_t, 4> order{2, 0, 3, 1};
  for (const auto i : order) p.promises[i].set_value(static_cast<int>(i));
  indices seen;
  auto completed = tutti::as_completed(p.futures);
  // All done before it was asked: then in input order.
  for (auto it = completed.begin(); it != completed.end(); ++it) {
    EXPECT_EQ(static_cast<int>(it.index()), (*it).get());
    seen.push_back(it.index());
  }
  EXPECT_EQ(seen, (indices{0, 1, 2, 3}));
}

TEST(AsCompleted, EachAsSoonAsItIsThere) {
  const watchdog dog;
  pairs<int> p(4);
  const std::array<std::size_t, 4> order{2, 0, 3, 1};
  std::size_t next = 0;
  p.promises[order[0]].set_value(0);
  for (auto& one : tutti::as_completed(p.futures)) {
    EXPECT_EQ(&one, &p.futures[order[next]]) << "references into the caller's range";
    EXPECT_EQ(one.get(), static_cast<int>(next));
    if (++next < 4) p.promises[order[next]].set_value(static_cast<int>(next));
  }
  EXPECT_EQ(next, 4U);
}

TEST(AsCompleted, OwnsRvalues) {
  const watchdog dog;
  tutti::thread_pool pool(2);
  std::vector<future<int>> futures;
  for (int i = 0; i < 20; ++i) futures.push_back(pool.submit([i] { return i; }));
  int sum = 0;
  for (auto& one : tutti::as_completed(std::move(futures))) sum += one.get();
  EXPECT_EQ(sum, 190);
}

TEST(AsCompleted, ErrorsAreReadLikeResults) {
  const watchdog dog;
  pairs<int> p(2);
  p.promises[0].set_exception(some_error);
  p.promises[1].set_value(1);
  int errors = 0, values = 0;
  for (auto& one : tutti::as_completed(p.futures)) {
    try {
      values += one.get();
    } catch (const std::runtime_error&) {
      ++errors;
    }
  }
  EXPECT_EQ(errors, 1);
  EXPECT_EQ(values, 1);
}

TEST(AsCompleted, MayBeLeftEarlyAndEmpty) {
  const watchdog dog;
  pairs<int> p(2);
  p.promises[0].set_value(1);
  for (auto& one : tutti::as_completed(p.futures)) {
    EXPECT_EQ(one.get(), 1);
    break;
  }
  p.promises[1].set_value(2);  // the queue is gone; nobody minds
  EXPECT_EQ(p.futures[1].get(), 2);
  std::vector<future<int>> none;
  for ([[maybe_unused]] auto& one : tutti::as_completed(none)) ADD_FAILURE();
  std::vector<future<int>> empty(1);
  auto bad = tutti::as_completed(empty);
  EXPECT_THROW(bad.begin(), std::logic_error);
}

// ---------------------------------------------------------------- when_all

TEST(WhenAll, VectorsKeepTheirOrder) {
  const watchdog dog;
  pairs<std::string> p(3);
  auto whole = tutti::when_all(std::move(p.futures));
  p.promises[2].set_value("c");
  p.promises[0].set_value("a");
  EXPECT_FALSE(whole.done());
  p.promises[1].set_value("b");
  EXPECT_TRUE(whole.done());
  EXPECT_EQ(whole.get(), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(WhenAll, DifferentTypesAndVoid) {
  promise<int> a;
  promise<void> b;
  promise<std::unique_ptr<int>> c;
  auto whole = tutti::when_all(a.get_future(), b.get_future(), c.get_future());
  c.set_value(std::make_unique<int>(3));
  a.set_value(1);
  EXPECT_FALSE(whole.done());
  b.set_value();
  auto [x, none, y] = whole.get();
  static_assert(std::is_same_v<decltype(none), std::monostate>);
  EXPECT_EQ(x + *y, 4);
}

TEST(WhenAll, VectorsOfVoid) {
  pairs<void> p(2);
  future<void> whole = tutti::when_all(std::move(p.futures));
  p.promises[0].set_value();
  EXPECT_FALSE(whole.done());
  p.promises[1].set_value();
  whole.get();
}

TEST(WhenAll, TheFirstErrorInInputOrderOnceAllAreDone) {
  pairs<int> p(3);
  auto whole = tutti::when_all(std::move(p.futures));
  p.promises[2].set_exception(std::make_exception_ptr(std::logic_error("third")));
  p.promises[1].set_exception(std::make_exception_ptr(std::runtime_error("second")));
  EXPECT_FALSE(whole.done());
  p.promises[0].set_value(1);
  EXPECT_THROW(whole.get(), std::runtime_error);
}

TEST(WhenAll, Nothing) {
  EXPECT_TRUE(tutti::when_all(std::vector<future<int>>()).get().empty());
  tutti::when_all(std::vector<future<void>>()).get();
  EXPECT_THROW((void)tutti::when_all(std::vector<future<int>>(2)), std::logic_error);
  EXPECT_THROW((void)tutti::when_all(future<int>(), future<int>()), std::logic_error);
}

TEST(WhenAll, DroppedBeforeItIsDone) {
  pairs<int> p(2);
  {
    auto dropped = tutti::when_all(std::move(p.futures));
  }
  p.promises[0].set_value(1);
  p.promises[1].set_exception(some_error);
}

TEST(WhenAll, CancellingItCancelsItsParts) {
  const watchdog dog;
  pairs<int> p(2);
  p.promises[0].set_value(1);
  auto whole = tutti::when_all(std::move(p.futures));
  whole.cancel();
  EXPECT_THROW(whole.get(), tutti::cancelled);
  EXPECT_TRUE(p.promises[1].stop_requested()) << "nobody will read it";
}

// ---------------------------------------------------------------- when_any

TEST(WhenAny, TheFirstWinsAndTheOthersAreCancelled) {
  const watchdog dog;
  pairs<int> p(3);
  auto winner = tutti::when_any(std::move(p.futures));
  EXPECT_FALSE(winner.done());
  p.promises[1].set_value(11);
  const auto [index, value] = winner.get();
  EXPECT_EQ(index, 1U);
  EXPECT_EQ(value, 11);
  EXPECT_TRUE(p.promises[0].stop_requested());
  EXPECT_TRUE(p.promises[2].stop_requested());
}

TEST(WhenAny, OneThatIsDoneAlreadyWinsAndTheRestIsNotStarted) {
  const watchdog dog;
  std::atomic<bool> ran{false}, open{false};
  tutti::thread_pool pool(1);
  auto busy = pool.submit([&] {
    while (!open) std::this_thread::yield();
  });
  std::vector<future<int>> futures;
  futures.push_back(pool.submit([&] { return ran = true, 1; }));
  futures.push_back(tutti::make_ready_future(2));
  EXPECT_EQ(tutti::when_any(std::move(futures)).get().index, 1U);
  open = true;
  busy.get();
  pool.shutdown();
  EXPECT_FALSE(ran);
}

TEST(WhenAny, RunningLosersAreAskedToStop) {
  const watchdog dog;
  std::atomic<bool> running{false}, stopped{false};
  tutti::thread_pool pool(2);
  std::vector<future<int>> futures;
  futures.push_back(pool.submit([&] {
    running = true;
    tutti_test::until_stopped();
    stopped = true;
    return 1;
  }));
  futures.push_back(pool.submit([&] {
    while (!running) std::this_thread::yield();
    return 2;
  }));
  EXPECT_EQ(tutti::when_any(std::move(futures)).get().value, 2);
  pool.shutdown();
  EXPECT_TRUE(stopped);
}

TEST(WhenAny, ErrorsCountAndNothingIsAnError) {
  pairs<void> p(2);
  auto winner = tutti::when_any(std::move(p.futures));
  p.promises[0].set_exception(some_error);
  EXPECT_THROW(winner.get(), std::runtime_error);
  EXPECT_THROW((void)tutti::when_any(std::vector<future<int>>()), std::invalid_argument);
  EXPECT_THROW((void)tutti::when_any(std::vector<future<int>>(1)), std::logic_error);
}

TEST(WhenAny, ManyRaces) {
  const watchdog dog;
  tutti::thread_pool pool(2);
  for (int round = 0; round < 300; ++round) {
    std::vector<future<int>> futures;
    for (int i = 0; i < 5; ++i) futures.push_back(pool.submit([i] { return i; }));
    const auto [index, value] = tutti::when_any(std::move(futures)).get();
    EXPECT_EQ(static_cast<int>(index), value);
  }
}

// Cannot be moved when it matters.
struct fussy {
  fussy() = default;
  fussy(fussy&&) {
    if (refuses) throw std::runtime_error("no");
  }
  static inline bool refuses = false;
};

TEST(WhenAny, AResultThatCannotBeMovedIsAnError) {
  promise<fussy> p;
  p.set_value();
  std::vector<future<fussy>> futures;
  futures.push_back(p.get_future());
  fussy::refuses = true;
  auto winner = tutti::when_any(std::move(futures));
  EXPECT_THROW(winner.get(), std::runtime_error);
  fussy::refuses = false;
}

}  // namespace
