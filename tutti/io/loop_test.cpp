// Loops: calls, timers, coroutines and events take turns on one thread, whatever happens elsewhere.
#include <gtest/gtest.h>
#include <tests/support/forks.hpp>
#include <tests/support/tasks.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/task/sleep.hpp>
#include <tutti/task/sync_wait.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;
using tutti::task;
using tutti_test::end_of;
using tutti_test::end_of_future;

struct loops : testing::Test {
  const tutti_test::watchdog dog;
};
struct loops_in_time : tutti_test::virtual_time {};

// ---------------------------------------------------------------- running

TEST_F(loops, run_gives_results_and_errors) {
  EXPECT_EQ(*io::run([]() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); }()), 7);
  EXPECT_THROW(io::run([]() -> task<> {
                 co_await tutti::yield_now();
                 throw std::out_of_range("here");
               }()),
               std::out_of_range);
  EXPECT_THROW(io::run(task<>()), std::logic_error);
}

TEST_F(loops, calls_from_many_threads_run_on_one_in_the_order_of_each) {
  io::loop here;
  constexpr int threads = 4, each = 1000;
  std::array<int, threads> next{};
  int calls = 0;
  bool in_order = true;
  std::vector<std::jthread> posting;
  for (int t = 0; t < threads; ++t) {
    posting.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        here.post([&, t, i] {
          in_order = in_order && next[static_cast<std::size_t>(t)]++ == i;
          if (++calls == threads * each) here.shutdown();
        });
      }
    });
  }
  here.run();
  EXPECT_EQ(calls, threads * each);
  EXPECT_TRUE(in_order);
}

TEST_F(loops, what_was_handed_in_is_complete_when_run_returns) {
  int done = 0;
  io::run([](int& count) -> task<> {
    const auto later = [](int& n) -> task<> {
      for (int i = 0; i < 100; ++i) co_await tutti::yield_now();
      ++n;
    };
    for (int i = 0; i < 10; ++i) static_cast<void>(tutti::spawn(later(count)));
    co_return;
  }(done));
  EXPECT_EQ(done, 10);
}

TEST_F(loops, stop_ends_what_waits) {
  io::loop here;
  const auto reader = [](std::latch& waits) -> task<> {
    auto ends = io::stream_pair();
    io::stream& b = ends.second;
    std::array<char, 1> room{};
    waits.count_down();
    co_await b.read_some(room);
  };
  const auto sleeper = []() -> task<> { co_await tutti::sleep_for(1h); };
  std::latch waits(1);
  auto reading = here.submit(reader(waits));
  auto sleeping = here.submit(sleeper());
  std::jthread stopper([&] {
    waits.wait();
    here.stop();
  });
  here.run();
  stopper.join();
  EXPECT_EQ(end_of_future(std::move(reading)), "cancelled");
  EXPECT_EQ(end_of_future(std::move(sleeping)), "cancelled");
  EXPECT_THROW(here.post([] {}), tutti::closed);
  here.run();  // there is nothing left to do
}

TEST_F(loops, shutdown_lets_what_waits_end_by_itself) {
  io::loop here;
  std::optional<io::stream> peer;
  const auto reader = [&]() -> task<std::string> {
    auto ends = io::stream_pair();
    peer = std::move(ends.first);
    here.shutdown();
    co_return co_await ends.second.read_exactly(5);
  };
  const auto writer = [&]() -> task<> { co_await peer->write("later"); };
  auto read = here.submit(reader());
  auto written = here.submit(writer());
  here.run();
  EXPECT_EQ(read.get(), "later");
  written.get();
}

TEST_F(loops, inside_each_other_are_refused) {
  io::run([]() -> task<> {
    const auto nothing = []() -> task<> { co_return; };
    EXPECT_THROW(io::run(nothing()), std::logic_error);
    co_return;
  }());
  // The same loop once more, and from another thread.
  io::loop here;
  here.post([&] {
    EXPECT_THROW(here.run(), std::logic_error);
    std::jthread([&] { EXPECT_THROW(here.run(), std::logic_error); }).join();
    here.shutdown();
  });
  here.run();
  // One in a sync_wait: that is one more thread that waits.
  tutti::sync_wait([]() -> task<> {
    io::run([]() -> task<> { co_return; }());
    co_return;
  }());
}

TEST_F(loops, blocking_waits_are_refused) {
  io::run([]() -> task<> {
    tutti::event never{tutti::event_reset::manual};
    EXPECT_THROW(never.wait(), tutti::would_block);
    co_return;
  }());
}

TEST_F(loops, need_descriptors) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the undefined behaviour sanitizer needs a pipe of its own to look at memory";
#endif
  const int got = tutti_test::in_child([] {
    const ::rlimit none{3, 3};
    if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return 1;
    try {
      const io::loop refused;
    } catch (const tutti::os_error& e) {
      return e.code() == EMFILE && std::string(e.what()).starts_with("cannot make an io::loop: ") ? 0 : 2;
    }
    return 3;
  });
  EXPECT_EQ(got, 0);
}

TEST_F(loops, in_a_forked_child) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  const auto talk = []() -> task<std::string> {
    auto ends = io::stream_pair();
    io::stream &a = ends.first, &b = ends.second;
    co_await a.write("hello");
    co_return co_await b.read_exactly(5);
  };
  EXPECT_EQ(io::run(talk()), "hello");
  EXPECT_EQ(tutti_test::in_child([&] { return io::run(talk()) == "hello" ? 0 : 1; }), 0);
  EXPECT_EQ(io::run(talk()), "hello");
}

// ---------------------------------------------------------------- time

TEST_F(loops_in_time, timers_are_called_on_the_loop_in_the_order_of_their_times) {
  io::loop here;
  std::vector<int> order;
  const auto id = std::this_thread::get_id();
  const auto note = [&](int n) {
    EXPECT_EQ(std::this_thread::get_id(), id);
    order.push_back(n);
  };
  here.call_later(2h, [&] {
    note(2);
    EXPECT_EQ(passed(), 2h);
    EXPECT_EQ(io::loop::time(), start + 2h);
    here.shutdown();
  });
  here.call_at(start + 1h, [&] { note(1); });
  here.call_at(start - 1h, [&] { note(0); });
  const tutti::timer cancelled = here.call_later(30min, [&] { note(9); });
  EXPECT_TRUE(cancelled.cancel());
  EXPECT_FALSE(cancelled.cancel());
  here.run();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
}

TEST_F(loops_in_time, timers_of_a_loop_that_is_gone_are_not_called) {
  bool called = false;
  const auto function = std::make_shared<int>(0);
  {
    io::loop here;
    here.call_later(1h, [&called, function] { called = true; });
  }
  clock.advance(2h);
  EXPECT_FALSE(called);
  EXPECT_EQ(function.use_count(), 1) << "its function is destroyed";
}

TEST_F(loops_in_time, time_moves_to_the_next_timer_when_all_sleep) {
  io::run([]() -> task<> {
    co_await tutti::task_group::run([](tutti::task_group& group) -> task<> {
      group.spawn([]() -> task<> { co_await tutti::sleep_for(3h); });
      co_await tutti::sleep_for(1h);
      co_await tutti::sleep_for(1h);
    });
  }());
  EXPECT_EQ(passed(), 3h);
}

TEST_F(loops_in_time, time_does_not_move_while_input_is_awaited) {
  // Somebody else answers, later than any limit would be if time moved by itself.
  io::run([](tutti::virtual_clock& stands) -> task<> {
    auto ends = io::stream_pair();
    io::stream &a = ends.first, &b = ends.second;
    std::jthread far([fd = a.descriptor()] {
      for (int i = 0; i < 1000; ++i) std::this_thread::yield();
      [[maybe_unused]] const ::ssize_t n = ::write(fd, "x", 1);
    });
    const auto before = stands.now();
    std::array<char, 1> room{};
    const std::size_t n = co_await b.read_some(room, 1h);
    EXPECT_EQ(n, 1U);
    EXPECT_EQ(stands.now(), before);
  }(clock));
}

TEST_F(loops, a_limit_goes_by_a_clock_that_is_moved_by_hand) {
  tutti::virtual_clock clock;
  io::run([](tutti::virtual_clock& moved) -> task<> {
    auto ends = io::stream_pair();
    io::stream& b = ends.second;
    std::array<char, 1> room{};
    std::jthread mover;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        const std::string end = co_await end_of([&] { return b.read_some(room, 1h); });
        EXPECT_EQ(end, "timed_out");
      });
      co_await tutti::yield_now();
      mover = std::jthread([&] { moved.advance(1h); });
    });
  }(clock));
}

// Its thread is a pool's, which spins before it sleeps: calls that come again and again must not keep it from looking.
TEST_F(loops, sees_events_while_a_pool_keeps_it_busy) {
  tutti::thread_pool own(1), other(1);
  auto on_a_worker = own.submit([&] {
    io::run([&]() -> tutti::task<> {
      auto pair = io::stream_pair();
      std::atomic<bool> over = false;
      co_await tutti::task_group::run([&](tutti::task_group& group) -> tutti::task<> {
        group.spawn([&]() -> tutti::task<> {
          while (!over) {
            auto answer = other.submit([] { return 1; });
            const int one = co_await std::move(answer);
            static_cast<void>(one);
          }
        });
        group.spawn([&]() -> tutti::task<> {
          for (int n = 0; n < 100; ++n) {
            co_await pair.first.write("x");
            char got[1];
            co_await pair.second.read_exactly(got);
          }
          over = true;
        });
        co_return;
      });
    }());
  });
  on_a_worker.get();
}

}  // namespace
