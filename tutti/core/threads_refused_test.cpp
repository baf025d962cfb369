// When the system refuses a thread: somebody is told, and the program goes on.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <latch>
#include <tests/support/gates.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/timers.hpp>
#include <vector>

#if defined(__SANITIZE_THREAD__)
#define TUTTI_TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TUTTI_TEST_TSAN 1
#endif
#endif

namespace {

using namespace std::chrono_literals;
using tutti::thread_pool;

#ifndef TUTTI_TEST_TSAN  // whose own background thread the limit would hit
// In processes of their own: the limit must not hit the other tests.

// Root is above the limit. Ends a program that hangs, too.
void become_somebody() {
  alarm(30);
  if (geteuid() == 0 && setuid(65534) != 0) _exit(3);
}

// No thread can be had while it lives.
class no_threads {
 public:
  no_threads() {
    rlimit none{};
    if (getrlimit(RLIMIT_NPROC, &before_) != 0) _exit(4);
    none = {.rlim_cur = 1, .rlim_max = before_.rlim_max};
    if (setrlimit(RLIMIT_NPROC, &none) != 0) _exit(4);
  }
  ~no_threads() {
    if (setrlimit(RLIMIT_NPROC, &before_) != 0) _exit(4);
  }
  no_threads(const no_threads&) = delete;
  no_threads& operator=(const no_threads&) = delete;

 private:
  rlimit before_{};
};

[[noreturn]] void make_a_pool() {
  become_somebody();
  const no_threads refused;
  try {
    thread_pool pool{64};
    (void)fprintf(stderr, "made\n");
    _exit(5);
  } catch (const tutti::pool_exhausted& e) {
    (void)fprintf(stderr, "refused: %s\n", e.what());
  }
  // And the program goes on.
  tutti::promise<int> promise;
  promise.set_value(1);
  _exit(promise.get_future().get() == 1 ? 0 : 6);
}

TEST(threads_refused_death, a_new_pools_is_a_clear_error) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(make_a_pool(), testing::ExitedWithCode(0), "refused: .*thread");
}

// Two workers wait for what a queued task will set, and there is no spare thread to run that: the pool must not let
// both sleep. The one who is told goes on, and so does everything else.
[[noreturn]] void block_all_workers() {
  become_somebody();
  thread_pool pool{2};
  tutti::promise<int> promise;
  const auto value = promise.get_future().share();
  std::latch both(2), first_gate(1), second_gate(1);
  std::vector<tutti::future<int>> waiters;
  for (std::latch* gate : {&first_gate, &second_gate}) {
    waiters.push_back(pool.submit([&both, gate, value] {
      both.count_down();
      gate->wait();
      try {
        return value.get();
      } catch (const tutti::pool_exhausted&) {
        return -1;
      }
    }));
  }
  both.wait();
  pool.post([&] { promise.set_value(1); });
  int sum = 0;
  {
    const no_threads refused;
    first_gate.count_down();
    tutti_test::until([&] { return tutti_test::waiting_for("future::wait") == 1 || waiters[0].done(); });
    second_gate.count_down();
    for (auto& waiter : waiters) sum += waiter.get();
  }
  // The pool works on.
  _exit(sum == 0 && pool.submit([] { return 2; }).get() == 2 ? 0 : 6);
}

TEST(threads_refused_death, a_spares_is_an_error_of_the_last_worker_to_wait) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(block_all_workers(), testing::ExitedWithCode(0), "");
}

[[noreturn]] void set_a_timer() {
  become_somebody();
  std::atomic<int> calls{0};
  try {
    const no_threads refused;
    tutti::call_later(0s, [&] { ++calls; });
    _exit(5);
  } catch (const std::exception& e) {
    (void)fprintf(stderr, "refused: %s\n", e.what());
  }
  // Timers are called in order: it would be called before the next one.
  std::latch called(1);
  tutti::call_later(0s, [&] { called.count_down(); });
  called.wait();
  _exit(calls == 0 ? 0 : 6);
}

TEST(threads_refused_death, the_timers_is_an_error_of_who_sets_one_which_then_is_never_called) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(set_a_timer(), testing::ExitedWithCode(0), "refused: ");
}
#endif

}  // namespace
