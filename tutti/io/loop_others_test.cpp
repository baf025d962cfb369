// Loops among others: pools, threads, other loops; streams that are used elsewhere; and what an idle one costs.
#include <gtest/gtest.h>
#include <tests/support/tasks.hpp>
#include <tutti/channel/channel.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/sync/event.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/task/resume_on.hpp>
#include <tutti/task/sync_wait.hpp>
#include <tutti/task/task_group.hpp>
#include <tutti/task/yield.hpp>

#include <fcntl.h>
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

struct loops_among_others : testing::Test {
  const tutti_test::watchdog dog;
};

// ---------------------------------------------------------------- with others

TEST_F(loops_among_others, coroutines_go_to_a_pool_and_come_back) {
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

TEST_F(loops_among_others, wait_for_a_pool_while_others_go_on) {
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

TEST_F(loops_among_others, await_what_others_do) {
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

TEST_F(loops_among_others, many_in_many_threads_that_hand_each_other_calls) {
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

TEST_F(loops_among_others, calls_without_an_end_do_not_keep_events_out) {
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

TEST_F(loops_among_others, events_without_an_end_do_not_keep_calls_out) {
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

TEST_F(loops_among_others, a_stream_belongs_to_its_own) {
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

TEST_F(loops_among_others, a_stream_may_outlive_its_own) {
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

TEST_F(loops_among_others, a_stream_is_closed_by_any_thread) {
  io::run([]() -> task<> {
    auto both = io::stream_pair();
    std::jthread other([s = std::move(both.first)]() mutable { s.close(); });
    std::array<char, 1> room{};
    const std::size_t n = co_await both.second.read_some(room);
    EXPECT_EQ(n, 0U);
  }());
}

TEST_F(loops_among_others, a_stream_that_is_waited_for_is_closed_by_another_thread) {
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

TEST_F(loops_among_others, an_idle_one_is_never_woken) {
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
