// The watchdog: what blocks a loop is named, with its stack; what waits is not.
#include <gtest/gtest.h>
#include <tests/support/watchdog.hpp>
#include <tutti/base/log.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/io/connect.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/signals.hpp>
#include <tutti/io/watchdog.hpp>
#include <tutti/task/yield.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace io = tutti::io;

// What blocks reads from it; who has been told of that writes.
struct pipe_ends {
  tutti::unique_fd out, in;
  pipe_ends() {
    int both[2];
    if (::pipe2(both, O_CLOEXEC) != 0) std::abort();
    out.reset(both[0]);
    in.reset(both[1]);
  }
};

}  // namespace

// Not in the unnamed namespace, so that its name is known; the calls must stay calls.
namespace tutti_watchdog_test {

[[gnu::noinline]] ssize_t blocks_in_read(int fd) {
  char byte = 0;
  const ssize_t n = ::read(fd, &byte, 1);
  asm volatile("" ::: "memory");
  return n;
}

[[gnu::noinline]] void computes(const std::atomic<bool>& enough) {
  while (!enough) asm volatile("" ::: "memory");
}

}  // namespace tutti_watchdog_test

namespace {

// Reports, and lets go of what was reported.
class reports {
 public:
  std::function<void(const io::loop_stall&)> listener() {
    return [this](const io::loop_stall& found) {
      const std::lock_guard lock(mutex_);
      all_.push_back(found);
      seen_ = true;
      [[maybe_unused]] const ::ssize_t n = ::write(ends_.in.get(), "x", 1);
    };
  }
  int to_read() const { return ends_.out.get(); }
  const std::atomic<bool>& seen() const { return seen_; }
  std::vector<io::loop_stall> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  pipe_ends ends_;
  std::atomic<bool> seen_{false};
  mutable std::mutex mutex_;
  std::vector<io::loop_stall> all_;
};

TEST(watchdog, names_the_task_and_the_function_that_block) {
  const tutti_test::watchdog dog;
  reports told;
  const io::watchdog watching({.limit = 100ms}, told.listener());  // by then it is in read, however busy the machine
  const auto blocking = [&]() -> tutti::task<> {
    co_await tutti::yield_now();
    EXPECT_EQ(tutti_watchdog_test::blocks_in_read(told.to_read()), 1);
  };
  io::loop here;
  here.run([](io::loop& on, tutti::task<> work) -> tutti::task<> {
    auto done = on.with({.name = "the blocker"}).submit(std::move(work));
    co_await std::move(done);
  }(here, blocking()));
  const auto all = told.all();
  ASSERT_EQ(all.size(), 1U) << "once";
  EXPECT_EQ(all[0].task, "the blocker");
  EXPECT_GE(all[0].held, 100ms);
  EXPECT_EQ(all[0].thread, ::gettid());
  EXPECT_TRUE(all[0].sleeps);
  EXPECT_NE(all[0].stack.find("tutti_watchdog_test::blocks_in_read(int)"), std::string::npos) << all[0].text();
  EXPECT_EQ(all[0].stack.find("run_some"), std::string::npos) << all[0].text();
}

TEST(watchdog, sees_functions_and_other_threads_loops) {
  const tutti_test::watchdog dog;
  reports told;
  const io::watchdog watching({.limit = 20ms}, told.listener());
  std::jthread other([&] {
    io::loop here;
    here.post([&] {
      tutti_watchdog_test::computes(told.seen());
      here.shutdown();
    });
    here.run();
  });
  other.join();
  const auto all = told.all();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_NE(all[0].thread, ::gettid());
#if !defined(__SANITIZE_THREAD__)  // which lets a thread that computes have no signals
  EXPECT_NE(all[0].stack.find("tutti_watchdog_test::computes("), std::string::npos) << all[0].text();
#endif
}

TEST(watchdog, sees_a_loop_inside_another) {
  const tutti_test::watchdog dog;
  reports told;
  const io::watchdog watching({.limit = 20ms}, told.listener());
  std::jthread releaser;
  io::loop here;
  here.post([&] {
    tutti::promise<int> later;
    releaser = std::jthread([&] {
      tutti_watchdog_test::blocks_in_read(told.to_read());
      later.set_value(1);
    });
    auto awaited = later.get_future();
    const auto work = [](tutti::future<int> f) -> tutti::task<int> { co_return co_await std::move(f); };
    io::loop inner;
    EXPECT_EQ(inner.run(work(std::move(awaited))), 1);
    here.shutdown();
  });
  here.run();
  const auto all = told.all();
  ASSERT_EQ(all.size(), 1U) << "the inner loop waits, the outer one cannot go on";
  EXPECT_NE(all[0].stack.find("sees_a_loop_inside_another"), std::string::npos) << all[0].text();
}

TEST(watchdog, a_loop_that_waits_is_no_stall) {
  const tutti_test::watchdog dog;
  reports told;
  const io::watchdog watching({.limit = 20ms}, told.listener());
  std::atomic<long> blocked{0};
  // Waits as long as the other one is blocked.
  io::run([](reports& heard, std::atomic<long>& id) -> tutti::task<> {
    auto ends = io::stream_pair();
    io::stream &a = ends.first, &b = ends.second;
    std::jthread other([&] {
      io::run([](reports& until, std::atomic<long>& own) -> tutti::task<> {
        own = ::gettid();
        tutti_watchdog_test::blocks_in_read(until.to_read());
        co_return;
      }(heard, id));
      a.close();
    });
    std::array<char, 1> room{};
    const std::size_t n = co_await b.read_some(room);
    EXPECT_EQ(n, 0U);
  }(told, blocked));
  const auto all = told.all();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].thread, blocked);
}

TEST(watchdog, writes_to_the_log) {
  const tutti_test::watchdog dog;
  pipe_ends ends;
  struct sink final : tutti::log_sink {
    explicit sink(int to) : fd(to) {}
    void write(const tutti::log_record& record) override {
      const std::string text = record.text();
      if (text.find("has held the thread") == std::string::npos) return;
      {
        const std::lock_guard lock(mutex);
        line = text;
      }
      [[maybe_unused]] const ::ssize_t n = ::write(fd, "x", 1);
    }
    const int fd;
    std::mutex mutex;
    std::string line;
  };
  const auto log = std::make_shared<sink>(ends.in.get());
  tutti::set_log_sink(log);
  {
    const io::watchdog watching({.limit = 20ms});
    io::run([](int fd) -> tutti::task<> {
      tutti_watchdog_test::blocks_in_read(fd);
      co_return;
    }(ends.out.get()));
  }
  tutti::set_log_sink(nullptr);
  EXPECT_NE(log->line.find("blocks_in_read"), std::string::npos) << log->line;
}

void block_for_ever() {
  pipe_ends ends;
  io::run([](int fd) -> tutti::task<> {
    tutti_watchdog_test::blocks_in_read(fd);
    co_return;
  }(ends.out.get()));
}

TEST(watchdog_DeathTest, aborts_when_asked_to) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ::alarm(60);
        const io::watchdog watching({.limit = 20ms, .action = io::watchdog_action::abort});
        block_for_ever();
      },
      "tutti: fatal: .* has held the thread .* of an io::loop for [0-9]+ ms: it sleeps.*\n(.*\n)*.*blocks_in_read");
}

TEST(watchdog_DeathTest, is_begun_by_the_environment) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ::alarm(60);
        ::setenv("TUTTI_IO_WATCHDOG", "abort", 1);  // NOLINT(concurrency-mt-unsafe)
        block_for_ever();
      },
      "has held the thread");
}

TEST(watchdog_DeathTest, knows_what_the_environment_may_say) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::setenv("TUTTI_IO_WATCHDOG", "bark", 1);  // NOLINT(concurrency-mt-unsafe)
        std::string said;
        try {
          const io::loop refused;
        } catch (const std::invalid_argument& e) {
          said = e.what();
        }
        ::setenv("TUTTI_IO_WATCHDOG", "off", 1);  // NOLINT(concurrency-mt-unsafe)
        const io::loop fine;
        std::_Exit(said == "TUTTI_IO_WATCHDOG=\"bark\"; known: warn, abort, off" ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(watchdog, has_a_positive_limit) { EXPECT_THROW(io::watchdog({.limit = 0ns}), std::invalid_argument); }

// The number of its signal.
int taken_number() {
  int number = SIGRTMAX;
  struct ::sigaction now{};
  const auto is_default = [&] { return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_DFL; };
  while (number > SIGRTMIN && is_default()) --number;
  return number;
}

TEST(watchdog, does_not_ask_by_a_signal_that_others_await) {
  const tutti_test::watchdog dog;
  reports told;
  const io::watchdog watching({.limit = 20ms}, told.listener());
  io::run([](reports& those) -> tutti::task<> {
    io::signals other({taken_number()});
    EXPECT_EQ(tutti_watchdog_test::blocks_in_read(those.to_read()), 1);
    bool came = true;
    try {
      co_await other.next(0ns);
    } catch (const tutti::timed_out&) {
      came = false;
    }
    EXPECT_FALSE(came);
  }(told));
  const auto all = told.all();
  ASSERT_EQ(all.size(), 1U) << "told all the same";
  EXPECT_EQ(all[0].stack, "");
}

TEST(watchdog, leaves_others_their_handler) {
  io::run([]() -> tutti::task<> {
    std::optional<io::watchdog> dog(std::in_place);
    const int number = taken_number();
    io::signals other({number});
    dog.reset();
    ::raise(number);
    EXPECT_EQ(co_await other.next(), number);
    other = {};  // puts the watchdog's back, for a next one
    ::signal(number, SIG_DFL);
  }());
}

TEST(watchdog, leaves_no_handler_behind) {
  const auto handlers = [] {
    int count = 0;
    for (int n = SIGRTMIN; n <= SIGRTMAX; ++n) {
      struct ::sigaction now{};
      ::sigaction(n, nullptr, &now);
      count += now.sa_handler != SIG_DFL ? 1 : 0;
    }
    return count;
  };
  const int before = handlers();
  {
    const io::watchdog first, second;
    EXPECT_EQ(handlers(), before + 1);
  }
  EXPECT_EQ(handlers(), before);
}

}  // namespace
