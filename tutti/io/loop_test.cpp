// Loops: calls, timers, coroutines and events take turns on one thread, whatever happens elsewhere.
#include <gtest/gtest.h>
#include <tests/support/forks.hpp>
#include <tests/support/tasks.hpp>
#include <tutti/channel/channel.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/task/resume_on.hpp>
#include <tutti/task/sleep.hpp>
#include <tutti/task/sync_wait.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <functional>
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

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0 || errno != EBADF; }

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
    auto [a, b] = io::stream_pair();
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
    auto [a, b] = io::stream_pair();
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
    auto [a, b] = io::stream_pair();
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
    auto [a, b] = io::stream_pair();
    std::array<char, 1> room{};
    std::jthread mover;
    co_await tutti::task_group::run([&, &b = b](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        const std::string end = co_await end_of([&] { return b.read_some(room, 1h); });
        EXPECT_EQ(end, "timed_out");
      });
      co_await tutti::yield_now();
      mover = std::jthread([&] { moved.advance(1h); });
    });
  }(clock));
}

// ---------------------------------------------------------------- with others

TEST_F(loops, coroutines_go_to_a_pool_and_come_back) {
  tutti::thread_pool pool(2);
  io::loop here;
  const auto id = std::this_thread::get_id();
  here.run([](tutti::thread_pool& far, io::loop& home, std::thread::id own) -> task<> {
    auto [a, b] = io::stream_pair();
    for (int i = 0; i < 100; ++i) {
      co_await tutti::resume_on(far);
      EXPECT_NE(std::this_thread::get_id(), own);
      std::array<char, 1> room{};
      const std::string end = co_await end_of([&, &b = b] { return b.read_some(room); });
      EXPECT_EQ(end, "logic_error") << "not its loop";
      co_await tutti::resume_on(home);
      EXPECT_EQ(std::this_thread::get_id(), own);
      co_await a.write("x");
      co_await b.read_exactly(room);
    }
  }(pool, here, id));
}

TEST_F(loops, wait_for_a_pool_while_others_go_on) {
  tutti::thread_pool pool(1);
  io::run([](tutti::thread_pool& far) -> task<> {
    auto [a, b] = io::stream_pair();
    std::latch read(1);
    auto computed = far.submit([&] {
      read.wait();  // what blocks there blocks nobody here
      return 42;
    });
    co_await tutti::task_group::run([&, &a = a, &b = b](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        const std::string got = co_await b.read_exactly(1);
        EXPECT_EQ(got, "x");
        read.count_down();
      });
      co_await a.write("x");
      const int answer = co_await std::move(computed);
      EXPECT_EQ(answer, 42);
    });
  }(pool));
}

TEST_F(loops, await_what_others_do) {
  io::run([]() -> task<> {
    tutti::promise<int> made;
    auto awaited = made.get_future();
    tutti::event rung{tutti::event_reset::manual};
    tutti::channel<int> numbers(1);
    tutti::mutex lock;
    std::latch locked(1), unlock(1);
    std::jthread other([&] {
      const std::lock_guard held(lock);
      locked.count_down();
      made.set_value(1);
      unlock.wait();
      rung.set();
      for (int i = 0; i < 100; ++i) numbers.send(i);
      numbers.close();
    });
    EXPECT_EQ(co_await std::move(awaited), 1);
    locked.wait();
    unlock.count_down();
    co_await rung.wait_async();
    int sum = 0;
    for (int i = 0; i < 100; ++i) sum += co_await numbers.receive_async();
    EXPECT_EQ(sum, 4950);
    const auto held = co_await lock.lock_async();
    EXPECT_TRUE(held);
  }());
}

TEST_F(loops, many_in_many_threads_that_hand_each_other_calls) {
  constexpr std::size_t count = 6;
  std::vector<std::unique_ptr<io::loop>> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(std::make_unique<io::loop>());
  std::vector<std::jthread> threads;
  for (auto& loop : all) threads.emplace_back([&loop] { loop->run(); });
  // Once around, from one to the next, with some input and output on each.
  const auto talk = []() -> task<int> {
    auto [a, b] = io::stream_pair();
    co_await a.write("abc");
    const std::string got = co_await b.read_exactly(3);
    co_return static_cast<int>(got.size());
  };
  std::function<task<int>(std::size_t)> around = [&](std::size_t at) -> task<int> {
    int sum = co_await talk();
    if (at + 1 == 10 * count) co_return sum;
    auto rest = all[(at + 1) % count]->submit(around(at + 1));
    sum += co_await std::move(rest);
    co_return sum;
  };
  EXPECT_EQ(all[0]->submit(around(0)).get(), 180);
  for (auto& loop : all) loop->shutdown();
}

TEST_F(loops, calls_without_an_end_do_not_keep_events_out) {
  io::loop here;
  bool enough = false;
  std::function<void()> again = [&] {
    if (!enough) here.post(again);
  };
  here.post(again);
  here.run([](bool& done) -> task<> {
    auto [a, b] = io::stream_pair();
    std::array<char, 1> room{};
    co_await tutti::task_group::run([&, &a = a, &b = b](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        co_await b.read_exactly(room);
        done = true;
      });
      co_await tutti::yield_now();
      co_await a.write("x");
    });
  }(enough));
  EXPECT_TRUE(enough);
}

TEST_F(loops, events_without_an_end_do_not_keep_calls_out) {
  io::run([]() -> task<> {
    auto [a, b] = io::stream_pair();
    bool had_its_turn = false;
    co_await tutti::task_group::run([&, &a = a, &b = b](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        had_its_turn = true;
        co_return;
      });
      std::array<char, 1> room{};
      while (!had_its_turn) {
        co_await a.write("x");
        co_await b.read_exactly(room);
      }
    });
  }());
}

// ---------------------------------------------------------------- streams elsewhere

TEST_F(loops, a_stream_belongs_to_its_own) {
  std::optional<io::stream> a, b;
  io::loop here;
  here.run([](std::optional<io::stream>& first, std::optional<io::stream>& second) -> task<> {
    auto both = io::stream_pair();
    first = std::move(both.first);
    second = std::move(both.second);
    co_return;
  }(a, b));
  std::array<char, 1> room{};
  EXPECT_THROW(static_cast<void>(b->read_some(room)), std::logic_error) << "off any loop";
  EXPECT_THROW(static_cast<void>(io::stream_pair()), std::logic_error);
  EXPECT_THROW(tutti::sync_wait([](io::stream& s) -> task<> { co_await s.read_line(); }(*b)), std::logic_error);
  io::run([](io::stream& s, std::array<char, 1>& to) -> task<> {
    std::string said;
    try {
      co_await s.read_some(to);
    } catch (const std::logic_error& e) {
      said = e.what();
    }
    EXPECT_EQ(said, "read_some: the stream to a socket of a pair belongs to another loop than the one this runs on");
    const std::string written = co_await end_of([&] { return s.write("x"); });
    EXPECT_EQ(written, "logic_error");
  }(*b, room));
  // On its own it is as before.
  here.run([](io::stream& from, io::stream& to) -> task<> {
    co_await to.write("y");
    const std::string got = co_await from.read_exactly(1);
    EXPECT_EQ(got, "y");
  }(*b, *a));
}

TEST_F(loops, a_stream_may_outlive_its_own) {
  std::optional<io::stream> left;
  io::run([](std::optional<io::stream>& out) -> task<> {
    out = io::stream_pair().first;
    co_return;
  }(left));
  const int fd = left->descriptor();
  EXPECT_TRUE(is_open(fd));
  left.reset();
  EXPECT_FALSE(is_open(fd));
}

TEST_F(loops, a_stream_is_closed_by_any_thread) {
  io::run([]() -> task<> {
    auto both = io::stream_pair();
    std::jthread other([s = std::move(both.first)]() mutable { s.close(); });
    std::array<char, 1> room{};
    const std::size_t n = co_await both.second.read_some(room);
    EXPECT_EQ(n, 0U);
  }());
}

TEST_F(loops, a_stream_that_is_waited_for_is_closed_by_another_thread) {
  io::run([]() -> task<> {
    auto both = io::stream_pair();
    std::jthread other;
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      group.spawn([&]() -> task<> {
        std::array<char, 1> room{};
        const std::string end = co_await end_of([&] { return both.second.read_some(room); });
        EXPECT_EQ(end, "closed");
      });
      co_await tutti::yield_now();
      other = std::jthread([s = std::move(both.second)]() mutable { s.close(); });
    });
  }());
}

// ---------------------------------------------------------------- costs

// How often a thread of this process has slept; and whether it does.
long sleeps_of(long thread, const char* key) {
  std::ifstream in("/proc/self/task/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    return key[0] == 'S' ? line.find("(sleeping)") != std::string::npos : std::stol(line.substr(line.find(':') + 1));
  }
  return -1;
}

TEST_F(loops, an_idle_one_is_never_woken) {
  io::loop here;
  std::atomic<long> thread{0};
  std::jthread running([&] {
    thread = ::gettid();
    here.run();
  });
  // A read under way, and a timer far off, are no reasons.
  const auto waiting = []() -> task<> {
    auto [a, b] = io::stream_pair();
    std::array<char, 1> room{};
    co_await b.read_some(room, 1h);
  };
  auto reading = here.submit(waiting());
  const auto is_asleep = [&] { return thread != 0 && reading.valid() && sleeps_of(thread, "State:") == 1; };
  // It sleeps for good when it has had this and sleeps.
  here.submit([] {}).get();
  while (!is_asleep()) std::this_thread::yield();
  const long before = sleeps_of(thread, "voluntary_ctxt_switches:");
  std::this_thread::sleep_for(200ms);  // an absence has to last
  EXPECT_EQ(sleeps_of(thread, "voluntary_ctxt_switches:"), before);
  here.stop();
  running.join();
  EXPECT_EQ(end_of_future(std::move(reading)), "cancelled");
}

}  // namespace
