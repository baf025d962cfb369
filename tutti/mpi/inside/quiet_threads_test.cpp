// Which threads are seen to sleep until somebody of this process wakes them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <tutti/core/thread_pool.hpp>
#include <tutti/mpi/inside/quiet_threads.hpp>
#include <tutti/mpi/inside/rank_ledger.hpp>
#include <vector>

namespace {

using tutti::mpi::detail::quiet_threads;

std::vector<long> others_than(long number) {
  std::vector<long> others = tutti::mpi::detail::all_threads();
  std::erase(others, number);
  return others;
}

// Threads that tell their numbers, and the looks at them alone.
class watched_thread {
 public:
  explicit watched_thread(std::function<void()> sleep)
      : thread_([this, sleep] {
          number_ = tutti::mpi::detail::this_thread_number();
          sleep();
        }) {
    while (number_ == 0) std::this_thread::yield();
  }
  ~watched_thread() { thread_.join(); }
  bool is_quiet(std::span<const tutti::mpi::detail::code_range> library = {}) const {
    return quiet_threads(others_than(number_), library).has_value();
  }
  void until_quiet() const {
    while (!is_quiet()) std::this_thread::yield();
  }

 private:
  std::atomic<long> number_{0};
  std::thread thread_;
};

TEST(QuietThreads, AConditionWithoutALimit) {
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  const watched_thread sleeper([&] {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return over; });
  });
  sleeper.until_quiet();
  {
    const std::lock_guard lock(mutex);
    over = true;
  }
  changed.notify_one();
}

TEST(QuietThreads, TwoLooksAgreeWhileNobodyRuns) {
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  std::atomic<long> number{0};
  std::thread sleeper([&] {
    number = tutti::mpi::detail::this_thread_number();
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return over; });
  });
  while (number == 0 || !quiet_threads(others_than(number), {})) std::this_thread::yield();
  const auto first = quiet_threads(others_than(number), {});
  EXPECT_EQ(quiet_threads(others_than(number), {}), first);
  for (;; changed.notify_one()) {  // it runs, and sleeps again
    const auto now = quiet_threads(others_than(number), {});
    if (now && now != first) break;
    std::this_thread::yield();
  }
  {
    const std::lock_guard lock(mutex);
    over = true;
  }
  changed.notify_one();
  sleeper.join();
}

TEST(QuietThreads, AJoinAndAnIdlePool) {
  std::thread([] {}).join();                                           // a sanitizer starts its own with the first
  const std::vector<long> before = tutti::mpi::detail::all_threads();  // this one, and a sanitizer's
  std::atomic<bool> over{false};
  tutti::thread_pool pool({.threads = 2});
  pool.submit([] {}).get();
  const watched_thread sleeper([&] {
    std::thread inner([&] { over.wait(false); });
    inner.join();
  });
  sleeper.until_quiet();
  // The pool's workers too, and the thread that is joined.
  while (!quiet_threads(before, {})) std::this_thread::yield();
  over = true;
  over.notify_one();
}

TEST(QuietThreads, ALimitAReadOrWorkIsNotQuiet) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  std::atomic<bool> over{false};
  std::mutex mutex;
  std::condition_variable changed;
  {
    const watched_thread timed([&] {
      std::unique_lock lock(mutex);
      changed.wait_for(lock, std::chrono::hours(1), [&] { return over.load(); });
    });
    const watched_thread reading([&] {
      char byte = 0;
      EXPECT_EQ(::read(ends[0], &byte, 1), 1);
    });
    const watched_thread busy([&] {
      while (!over) {
      }
    });
    for (int i = 0; i < 200; ++i) {
      EXPECT_FALSE(timed.is_quiet());
      EXPECT_FALSE(reading.is_quiet());
      EXPECT_FALSE(busy.is_quiet());
    }
    {
      const std::lock_guard lock(mutex);
      over = true;
    }
    changed.notify_one();
    EXPECT_EQ(::write(ends[1], "x", 1), 1);
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(QuietThreads, WhoSleepsInsideTheLibraryIsNot) {
  std::atomic<bool> over{false};
  {
    const watched_thread sleeper([&] { over.wait(false); });
    sleeper.until_quiet();
    // Every thread was begun by the C library.
    const auto library = tutti::mpi::detail::code_of_library(reinterpret_cast<const void*>(&::pthread_create));
    ASSERT_FALSE(library.empty());
    EXPECT_FALSE(sleeper.is_quiet(library));
    over = true;
    over.notify_one();
  }
}

}  // namespace
