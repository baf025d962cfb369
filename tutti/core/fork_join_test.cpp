// What fork_join returns and throws.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/core/thread_pool.hpp>

namespace {

using tutti::fork_join;
using tutti::thread_pool;
using tutti_test::watchdog;

// Objects alive, to see that every result is destroyed once.
struct counted {
  static inline std::atomic<int> alive{0};
  explicit counted(int v) : value(v) { ++alive; }
  counted(counted&& other) noexcept : value(other.value) { ++alive; }
  counted& operator=(counted&&) = delete;
  ~counted() { --alive; }
  int value;
};

// Counts down a latch when the stack is unwound past it.
struct at_unwind {
  std::latch& latch;
  ~at_unwind() { latch.count_down(); }
};

template <class F>
auto on_pool(int threads, F f) {
  thread_pool pool(threads);
  return pool.submit(std::move(f)).get();
}

TEST(ForkJoin, OneFunction) {
  const auto [a] = fork_join([] { return 7; });
  EXPECT_EQ(a, 7);
}

TEST(ForkJoin, ResultsKeepTheOrderOfTheFunctions) {
  auto [a, b] = fork_join([] { return 1; }, [] { return std::string("two"); });
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, "two");
  auto [c, d, e, f, g] = fork_join([] { return 'c'; }, [] { return 4.0; }, [] { return 5L; }, [] { return 6U; },
                                   [] { return std::string(100, 'g'); });
  EXPECT_EQ(c, 'c');
  EXPECT_EQ(d, 4.0);
  EXPECT_EQ(e, 5L);
  EXPECT_EQ(f, 6U);
  EXPECT_EQ(g, std::string(100, 'g'));
}

TEST(ForkJoin, VoidIsMonostateAndAllVoidIsVoid) {
  std::atomic<int> ran{0};
  const auto nothing = [&] { ++ran; };
  static_assert(std::is_void_v<decltype(fork_join(nothing))>);
  static_assert(std::is_void_v<decltype(fork_join(nothing, nothing, nothing))>);
  fork_join(nothing, nothing, nothing);
  EXPECT_EQ(ran, 3);
  const auto mixed = fork_join(nothing, [] { return 2; }, nothing);
  static_assert(std::is_same_v<decltype(mixed), const std::tuple<std::monostate, int, std::monostate>>);
  EXPECT_EQ(std::get<1>(mixed), 2);
  EXPECT_EQ(ran, 5);
}

TEST(ForkJoin, ResultsMayBeMoveOnlyAndWithoutADefault) {
  auto [pointer, value] = fork_join([] { return std::make_unique<int>(3); }, [] { return counted(4); });
  EXPECT_EQ(*pointer, 3);
  EXPECT_EQ(value.value, 4);
  EXPECT_EQ(counted::alive, 1);
}

TEST(ForkJoin, ResultsDecay) {
  int source = 1;
  const auto results = fork_join([&]() -> int& { return source; }, [&]() -> const int& { return source; });
  static_assert(std::is_same_v<decltype(results), const std::tuple<int, int>>);
  source = 2;
  EXPECT_EQ(std::get<0>(results), 1);
}

int plain_function() { return 11; }

TEST(ForkJoin, FunctionsAreNotCopied) {
  struct function {
    int calls = 0;
    function() = default;
    function(const function&) = delete;
    int operator()() { return ++calls; }
  };
  function f, g;
  auto [a, b, c] = fork_join(f, g, plain_function);
  EXPECT_EQ(a + b + c, 13);
  EXPECT_EQ(f.calls, 1);
  EXPECT_EQ(g.calls, 1);
}

TEST(ForkJoin, TheFirstRunsOnTheCallingThread) {
  const auto [id, other] = fork_join([] { return std::this_thread::get_id(); }, [] { return 0; });
  EXPECT_EQ(id, std::this_thread::get_id());
  EXPECT_EQ(other, 0);
}

TEST(ForkJoin, TheCallerIsNoWorkerBeforeAndAfter) {
  EXPECT_EQ(tutti::this_worker, nullptr);
  fork_join([] { EXPECT_NE(tutti::this_worker, nullptr); }, [] { EXPECT_NE(tutti::this_worker, nullptr); });
  EXPECT_EQ(tutti::this_worker, nullptr);
  EXPECT_THROW(fork_join([] { throw std::runtime_error("left"); }, [] {}), std::runtime_error);
  EXPECT_EQ(tutti::this_worker, nullptr);
}

TEST(ForkJoin, UsesThePoolItIsCalledOn) {
  const watchdog dog;
  thread_pool pool(2);
  const bool same = pool.submit([&] {
                          std::latch both(2);
                          auto meet = [&] {
                            both.arrive_and_wait();
                            return tutti::this_worker->pool == &pool.engine();
                          };
                          auto [a, b] = fork_join(meet, meet);
                          return a && b;
                        })
                        .get();
  EXPECT_TRUE(same);
}

// ---------------------------------------------------------------- exceptions

TEST(ForkJoin, ALeftErrorSkipsTheRightThatHasNotStarted) {
  bool ran = false;
  const auto left_fails = [&] {
    EXPECT_THROW(fork_join([] { throw std::runtime_error("left"); }, [&] { ran = true; }), std::runtime_error);
  };
  on_pool(1, left_fails);  // one thread: nobody can have started it
  EXPECT_FALSE(ran);
}

TEST(ForkJoin, ALeftErrorWaitsForTheRightThatHasStarted) {
  const watchdog dog;
  std::atomic<bool> ended{false};
  const auto body = [&] {
    std::latch right_started(1), left_thrown(1);
    try {
      fork_join(
          [&] {
            right_started.wait();
            const at_unwind note{left_thrown};
            throw std::runtime_error("left");
          },
          [&] {
            right_started.count_down();
            left_thrown.wait();
            for (int i = 0; i < 1000; ++i) std::this_thread::yield();
            ended = true;
            return counted(1);
          });
      ADD_FAILURE();
    } catch (const std::runtime_error&) {
      EXPECT_TRUE(ended);
    }
  };
  on_pool(2, body);
  EXPECT_TRUE(ended.exchange(false));
  body();
  EXPECT_EQ(counted::alive, 0);
}

TEST(ForkJoin, ARightErrorIsThrownAndTheLeftResultDestroyed) {
  const watchdog dog;
  for (const bool stolen : {false, true}) {
    std::string message;
    on_pool(2, [&] {
      std::latch right_started(1);
      try {
        fork_join(
            [&] {
              if (stolen) right_started.wait();
              return counted(1);
            },
            [&]() -> counted {
              right_started.count_down();
              throw std::runtime_error("right");
            });
      } catch (const std::runtime_error& error) {
        message = error.what();
      }
    });
    EXPECT_EQ(message, "right");
    EXPECT_EQ(counted::alive, 0);
  }
}

TEST(ForkJoin, OfTwoErrorsTheLeftOneIsThrown) {
  const watchdog dog;
  std::string message;
  on_pool(2, [&] {
    std::latch right_thrown(1);
    try {
      fork_join(
          [&] {
            right_thrown.wait();
            throw std::runtime_error("left");
          },
          [&] {
            const at_unwind note{right_thrown};
            throw std::logic_error("right");
          });
    } catch (const std::exception& error) {
      message = error.what();
    }
  });
  EXPECT_EQ(message, "left");
}

// The first of three throws when the other two, taken by another thread, have their results already.
TEST(ForkJoin, ALateLeftErrorDestroysAllResultsToItsRight) {
  const watchdog dog;
  on_pool(2, [&] {
    std::latch others(2);
    const auto make = [&] {
      others.count_down();
      return counted(1);
    };
    EXPECT_THROW(fork_join(
                     [&]() -> counted {
                       others.wait();
                       throw std::runtime_error("left");
                     },
                     make, make),
                 std::runtime_error);
  });
  EXPECT_EQ(counted::alive, 0);
  counted::alive = 0;
}

TEST(ForkJoin, AnyOfSeveralMayThrow) {
  for (int bad = 0; bad < 4; ++bad) {
    std::array<bool, 4> ran{};
    const auto part = [&](int i) {
      return [&ran, i, bad] {
        ran[static_cast<std::size_t>(i)] = true;
        if (i == bad) throw std::out_of_range(std::to_string(i));
        return counted(i);
      };
    };
    on_pool(1, [&] {
      try {
        fork_join(part(0), part(1), part(2), part(3));
        ADD_FAILURE();
      } catch (const std::out_of_range& error) {
        EXPECT_EQ(error.what(), std::to_string(bad));
      }
    });
    for (int i = 0; i < 4; ++i) EXPECT_EQ(ran[static_cast<std::size_t>(i)], i <= bad) << i << " with " << bad;
    EXPECT_EQ(counted::alive, 0);
  }
}

TEST(ForkJoin, AResultThatCannotBeMovedOutDestroysTheRest) {
  struct stubborn {
    stubborn() = default;
    stubborn(stubborn&&) { throw std::runtime_error("move"); }
  };
  EXPECT_THROW(fork_join([] { return counted(1); }, [] { return stubborn(); }, [] { return counted(3); }),
               std::runtime_error);
  EXPECT_EQ(counted::alive, 0);
}

TEST(ForkJoin, ThrownObjectsThatAreNoStdExceptions) {
  EXPECT_THROW(fork_join([] {}, [] { throw 42; }), int);
  EXPECT_THROW(fork_join([] { throw 'c'; }, [] { throw 42; }), char);
}

// ---------------------------------------------------------------- what a stolen branch inherits

TEST(ForkJoin, AStolenBranchWorksInTheNameOfItsTask) {
  const watchdog dog;
  thread_pool pool(2);
  auto future = pool.with({.name = "the task"}).submit([] {
    std::latch right_started(1), cancel_seen(1);
    return fork_join(
        [&] {
          right_started.wait();
          cancel_seen.wait();
          return std::this_thread::get_id();
        },
        [&] {
          right_started.count_down();
          EXPECT_EQ(tutti::this_task::name(), "the task");
          tutti_test::until_stopped();
          EXPECT_TRUE(tutti::this_task::stop_token().stop_requested());
          cancel_seen.count_down();
          return std::this_thread::get_id();
        });
  });
  while (!future.cancel() && !future.done()) std::this_thread::yield();
  try {
    const auto [left, right] = future.get();
    EXPECT_NE(left, right);
  } catch (const tutti::cancelled&) {  // it had not begun
  }
}

}  // namespace
