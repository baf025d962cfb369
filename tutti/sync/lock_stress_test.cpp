// Threads and coroutines take locks in every way there is, give up and are stopped at random, for a short while: never
// two inside, and nobody is left asleep. The seed is printed; TUTTI_TEST_SEED repeats a run's choices (the schedule is
// the machine's).
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stop_token>
#include <tests/support/choices.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/sync/async_guards.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/sync/once.hpp>
#include <tutti/sync/recursive_mutex.hpp>
#include <tutti/sync/shared_mutex.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::mutex;
using tutti::shared_mutex;
using tutti::shared_policy;
using tutti::task;
using tutti_test::choices;
using tutti_test::watchdog;

constexpr int rounds = tutti_test::sanitized ? 200 : 1000;

// What the lock protects: plain numbers, so that the thread sanitizer sees a lock that does not lock.
struct protected_state {
  long writes = 0;
  std::atomic<int> readers{0}, writers{0}, wrong{0};
  std::atomic<long> entered{0};
  void write(bool long_stay) {
    if (writers.fetch_add(1) != 0 || readers.load() != 0) ++wrong;
    ++writes;
    if (long_stay) std::this_thread::yield();
    writers.fetch_sub(1);
    ++entered;
  }
  void read(bool long_stay) {
    ++readers;
    if (writers.load() != 0) ++wrong;
    const long before = writes;
    if (long_stay) std::this_thread::yield();
    if (writes != before) ++wrong;
    --readers;
  }
};

// One turn of a thread: by any of the blocking forms.
template <class Lock>
bool take(Lock& lock, choices& random) {
  switch (random.below(6)) {
    case 0: return lock.try_lock();
    case 1: return lock.lock_for(random.short_time());
    case 2: {
      std::stop_source stop;
      if (random.one_in(2)) stop.request_stop();
      try {
        lock.lock(stop.get_token());
      } catch (const tutti::cancelled&) {
        return false;
      }
      return true;
    }
    default: lock.lock(); return true;
  }
}

template <class Lock>
void thread_turns(Lock& lock, protected_state& state, std::uint64_t salt) {
  choices random(salt);
  for (int i = 0; i < rounds; ++i) {
    if constexpr (std::is_same_v<Lock, shared_mutex>) {
      if (random.one_in(2)) {
        if (random.one_in(4)) {
          if (!lock.lock_shared_for(random.short_time())) continue;
        } else {
          lock.lock_shared();
        }
        state.read(random.one_in(8));
        lock.unlock_shared();
        continue;
      }
    }
    if (!take(lock, random)) continue;
    state.write(random.one_in(8));
    lock.unlock();
  }
}

template <class Lock>
task<> coroutine_turns(Lock& lock, protected_state& state, std::uint64_t salt) {
  choices random(salt);
  for (int i = 0; i < rounds; ++i) {
    if constexpr (std::is_same_v<Lock, shared_mutex>) {
      if (random.one_in(2)) {
        const auto guard = co_await lock.lock_shared_async();
        state.read(random.one_in(8));
        continue;
      }
    }
    if (random.one_in(3)) {
      auto guard = co_await lock.lock_for_async(random.short_time());
      if (!guard) continue;
      state.write(false);
      if (random.one_in(2)) continue;
      guard.unlock();
      co_await guard.relock_async();
      state.write(false);
    } else {
      const auto guard = co_await lock.lock_async();
      state.write(random.one_in(8));
      if (random.one_in(4)) co_await tutti::yield_now();  // others find it locked
    }
  }
}

template <class Lock>
void run_mixed(Lock& lock, int workers) {
  const watchdog dog;
  protected_state state;
  tutti::thread_pool pool(workers);
  std::vector<tutti::future<void>> tasks;
  std::vector<std::jthread> threads;
  for (std::uint64_t i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] { thread_turns(lock, state, i); });
    tasks.push_back(pool.submit([&, i] { thread_turns(lock, state, 100 + i); }));
    if constexpr (!std::is_same_v<Lock, tutti::recursive_mutex>) {
      tasks.push_back(pool.submit(coroutine_turns(lock, state, 200 + i)));
    }
  }
  if constexpr (!std::is_same_v<Lock, tutti::recursive_mutex>) {
    // Those who are stopped at any moment.
    choices random(300);
    for (int i = 0; i < rounds / 10; ++i) {
      auto f = pool.submit(coroutine_turns(lock, state, 400 + static_cast<std::uint64_t>(i)));
      for (unsigned n = random.below(4); n > 0; --n) std::this_thread::yield();
      f.cancel();
      const std::string end = tutti_test::end_of_future(std::move(f));
      EXPECT_TRUE(end == "value" || end == "cancelled") << end;
    }
  }
  for (auto& f : tasks) f.get();
  threads.clear();
  EXPECT_EQ(state.wrong, 0);
  EXPECT_EQ(state.entered, state.writes);
  EXPECT_TRUE(lock.try_lock()) << "all have unlocked";
  lock.unlock();
}

class lock_stress : public testing::TestWithParam<int> {};

TEST_P(lock_stress, mutexes) {
  mutex m;
  run_mixed(m, GetParam());
}
TEST_P(lock_stress, recursive_mutexes) {
  tutti::recursive_mutex m;
  run_mixed(m, GetParam());
}
TEST_P(lock_stress, fair_shared_mutexes) {
  shared_mutex m;
  run_mixed(m, GetParam());
}
TEST_P(lock_stress, shared_mutexes_that_prefer_readers) {
  shared_mutex m(shared_policy::prefer_readers);
  run_mixed(m, GetParam());
}
TEST_P(lock_stress, shared_mutexes_that_prefer_writers) {
  shared_mutex m(shared_policy::prefer_writers);
  run_mixed(m, GetParam());
}
TEST_P(lock_stress, onces_that_fail_now_and_then) {
  const watchdog dog;
  tutti::thread_pool pool(GetParam());
  for (int round = 0; round < rounds / 10; ++round) {
    tutti::once o;
    int calls = 0;
    const auto body = [&](choices& random) {
      if (random.one_in(3)) throw std::runtime_error("on purpose");
      ++calls;
    };
    const auto by_thread = [&](std::uint64_t salt) {
      choices random(salt);
      try {
        o.call([&] { body(random); });
        EXPECT_EQ(calls, 1);
      } catch (const std::runtime_error&) {
        return;
      }
    };
    const auto by_coroutine = [&](std::uint64_t salt) -> task<> {
      choices random(salt);
      const auto called = [&]() -> task<> {
        co_await tutti::yield_now();
        body(random);
      };
      bool failed = false;
      try {
        co_await o.call_async(called);
      } catch (const std::runtime_error&) {
        failed = true;
      }
      EXPECT_TRUE(failed || calls == 1);
    };
    std::vector<tutti::future<void>> all;
    const auto salt = 1000 + 10 * static_cast<std::uint64_t>(round);
    for (std::uint64_t i = 0; i < 3; ++i) {
      all.push_back(pool.submit([&, i] { by_thread(salt + i); }));
      all.push_back(pool.submit(by_coroutine(salt + 3 + i)));
    }
    for (auto& f : all) f.get();
    EXPECT_EQ(calls, o.done() ? 1 : 0);
  }
}

INSTANTIATE_TEST_SUITE_P(workers, lock_stress, testing::Values(1, 2, 4));

}  // namespace
