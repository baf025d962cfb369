// Channels: every form of sending and receiving, by threads and coroutines.
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/channel/channels.hpp>
#include <tutti/core/run_loop.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::channel;
using tutti::sync_wait;
using tutti::task;
using tutti_test::kind_of;
using tutti_test::until;
using tutti_test::waiting_for;
using tutti_test::watchdog;

template <class G>
std::string text_of(G g) {
  try {
    g();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing thrown";
}

class Channel : public tutti_test::virtual_time {};

TEST_F(Channel, GivesBackInOrder) {
  channel<int> c(3, "numbers");
  EXPECT_EQ(c.capacity(), 3U);
  EXPECT_EQ(c.name(), "numbers");
  EXPECT_TRUE(c.empty());
  c.send(1);
  c.send(2);
  EXPECT_TRUE(c.try_send(3));
  EXPECT_FALSE(c.try_send(4));
  EXPECT_EQ(c.size(), 3U);
  EXPECT_EQ(c.receive(), 1);
  EXPECT_EQ(c.receive(), 2);
  EXPECT_EQ(c.try_receive(), 3);
  EXPECT_EQ(c.try_receive(), std::nullopt);
}

TEST_F(Channel, MoveOnlyAndWhatCouldNotBeSentIsUntouched) {
  channel<std::unique_ptr<int>> c(1);
  c.send(std::make_unique<int>(1));
  auto second = std::make_unique<int>(2);
  EXPECT_FALSE(c.try_send(std::move(second)));
  ASSERT_NE(second, nullptr);
  EXPECT_FALSE(c.send_for(0s, std::move(second)));
  EXPECT_FALSE(c.send_for(-1s, std::move(second)));
  EXPECT_FALSE(c.send_for(std::chrono::nanoseconds::min(), std::move(second)));
  ASSERT_NE(second, nullptr);
  c.close();
  EXPECT_THROW(c.try_send(std::move(second)), tutti::closed);
  EXPECT_THROW(c.send_for(1s, std::move(second)), tutti::closed);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(*c.receive(), 1);
}

TEST_F(Channel, BlocksUntilThereIsRoom) {
  channel<int> c(1);
  c.send(1);
  std::jthread sender([&] { c.send(2); });
  until([] { return waiting_for("channel::send") == 1; });
  EXPECT_EQ(c.receive(), 1);
  EXPECT_EQ(c.receive(), 2);
}

TEST_F(Channel, BlocksUntilThereIsAnElement) {
  channel<int> c(1);
  int got = 0;
  {
    std::jthread receiver([&] { got = c.receive(); });
    until([] { return waiting_for("channel::receive") == 1; });
    c.send(7);
  }
  EXPECT_EQ(got, 7);
}

TEST(ChannelTime, LimitsOnTheVirtualClock) {
  const watchdog dog;
  tutti::virtual_clock clock;
  channel<int> c(1);
  std::optional<int> got = 5;
  std::jthread receiver([&] { got = c.receive_for(10s); });
  until([] { return waiting_for("channel::receive_for") == 1; });
  clock.advance(9s);
  clock.advance(1s);
  receiver.join();
  EXPECT_EQ(got, std::nullopt);
  c.send(1);
  bool sent = true;
  std::jthread sender([&] { sent = c.send_for(10s, 2); });
  until([] { return waiting_for("channel::send_for") == 1; });
  clock.advance(10s);
  sender.join();
  EXPECT_FALSE(sent);
}

TEST_F(Channel, ALoopWaitsAtItsOwnLine) {
  channel<int> c(1);
  unsigned line = 0;
  std::atomic<int> sum{0};
  std::jthread loop([&] {
    line = __LINE__ + 1;
    for (const int x : c) sum += x;
  });
  const auto waits_here = [&](const tutti::thread_record::view& one) {
    return one.waits_for == "channel::next" && std::string_view(one.where.file).ends_with("channel_test.cpp") &&
           one.where.line == line;
  };
  until([] { return waiting_for("channel::next") == 1; });
  EXPECT_EQ(tutti_test::count_waiting(waits_here), 1) << "for the first";
  c.send(1);
  until([&] { return sum == 1 && waiting_for("channel::next") == 1; });
  EXPECT_EQ(tutti_test::count_waiting(waits_here), 1) << "for the next";
  c.close();
}

TEST_F(Channel, AnEndlessLimit) {
  channel<int> c(1);
  std::optional<int> got;
  {
    std::jthread receiver([&] { got = c.receive_for(std::chrono::nanoseconds::max()); });
    until([] { return waiting_for("channel::receive_for") == 1; });
    EXPECT_TRUE(c.send_for(std::chrono::nanoseconds::max(), 3));
  }
  EXPECT_EQ(got, 3);
  EXPECT_EQ(c.receive_for(0s), std::nullopt);
  EXPECT_EQ(c.receive_for(-1s), std::nullopt);
}

TEST_F(Channel, AStopEndsAWaitButNotWhatNeedNotWait) {
  channel<int> c(1);
  std::stop_source stop;
  std::string send_end, receive_end;
  {
    std::jthread receiver([&] {
      receive_end = kind_of([&]() -> std::exception_ptr {
        try {
          c.receive(stop.get_token());
        } catch (...) {
          return std::current_exception();
        }
        return nullptr;
      }());
    });
    until([] { return waiting_for("channel::receive") == 1; });
    stop.request_stop();
  }
  EXPECT_EQ(receive_end, "cancelled");
  const std::stop_token stopped = stop.get_token();
  EXPECT_NO_THROW(c.send(stopped, 1));
  EXPECT_THROW(c.send(stopped, 2), tutti::cancelled);
  EXPECT_EQ(c.receive(stopped), 1);
  EXPECT_THROW(c.receive(stopped), tutti::cancelled);
}

// ---------------------------------------------------------------- coroutines

TEST_F(Channel, CoroutinesSendAndReceive) {
  for (const std::ptrdiff_t capacity : {0, 1, 7}) {
    channel<int> c(capacity);
    auto send = [&]() -> task<> {
      for (int i = 1; i <= 100; ++i) co_await c.send_async(i);
      c.close();
    };
    auto receive = [&]() -> task<int> {
      int sum = 0, before = 0;
      while (const auto x = co_await c.next_async()) {
        EXPECT_EQ(*x, before + 1);
        before = *x;
        sum += *x;
      }
      co_return sum;
    };
    auto both = [&]() -> task<int> {
      auto results = co_await tutti::when_all(receive(), send());
      co_return std::get<0>(results);
    };
    EXPECT_EQ(sync_wait(both()), 5050);
  }
}

TEST_F(Channel, CoroutinesWithALimit) {
  channel<std::unique_ptr<int>> c(1);
  auto body = [&]() -> task<> {
    EXPECT_EQ(co_await c.receive_for_async(1s), std::nullopt);
    EXPECT_EQ(passed(), 1s);
    EXPECT_EQ(co_await c.receive_for_async(0s), std::nullopt);
    co_await c.send_async(std::make_unique<int>(1));
    auto value = std::make_unique<int>(2);
    EXPECT_FALSE(co_await c.send_for_async(1s, std::move(value)));
    EXPECT_NE(value, nullptr);
    EXPECT_EQ(passed(), 2s);
    auto got = co_await c.receive_for_async(std::chrono::nanoseconds::max());
    EXPECT_EQ(**got, 1);
    EXPECT_TRUE(co_await c.send_for_async(1s, std::move(value)));
    EXPECT_EQ(*co_await c.receive_async(), 2);
  };
  sync_wait(body());
}

TEST_F(Channel, ATaskThatWaitsIsStopped) {
  for (const std::ptrdiff_t capacity : {0, 1}) {
    channel<int> c(capacity);
    auto receive = [&]() -> task<int> { co_return co_await c.receive_async(); };
    auto end = [&]() -> task<std::string> {
      co_return co_await tutti_test::end_of([&] { return tutti::with_timeout(receive(), 1s); });
    };
    EXPECT_EQ(sync_wait(end()), "timed_out");
    EXPECT_FALSE(capacity == 0 && c.try_send(1)) << "nobody waits any more";
  }
}

TEST_F(Channel, AThreadAndACoroutine) {
  tutti::thread_pool pool(2);
  for (const std::ptrdiff_t capacity : {0, 1, 64}) {
    channel<int> c(capacity);
    auto echo = [&]() -> task<int> {
      int sum = 0;
      for (int i = 0; i < 1000; ++i) sum += co_await c.receive_async();
      co_return sum;
    };
    auto sum = pool.submit(echo());
    for (int i = 0; i < 1000; ++i) c.send(i);
    EXPECT_EQ(sum.get(), 499500);
  }
}

TEST_F(Channel, BlockingALoopIsRefused) {
  channel<int> c(1);
  tutti::run_loop loop;
  std::string text;
  loop.post([&] {
    c.send(1);  // need not wait
    EXPECT_FALSE(c.send_for(0s, 2));
    text = text_of([&] { c.send(2); });
    EXPECT_EQ(c.receive(), 1);
    EXPECT_THROW(c.receive(), tutti::would_block);
    EXPECT_THROW(c.receive_for(1s), tutti::would_block);
    loop.shutdown();
  });
  loop.run();
  EXPECT_NE(text.find("co_await send_async()"), std::string::npos) << text;
}

TEST_F(Channel, AnAwaitableMayBeAwaitedAgain) {
  channel<int> c(1);
  auto sends = [&]() -> task<> {
    co_await tutti::yield_now();
    co_await c.send_async(1);
    c.close();
  };
  auto receives = [&]() -> task<> {
    auto next = c.next_async();
    const std::optional<int> first = co_await next;  // waits
    const std::optional<int> second = co_await next;
    EXPECT_EQ(first, 1);
    EXPECT_EQ(second, std::nullopt);
  };
  tutti::sync_wait(tutti::when_all(receives(), sends()));
}

TEST_F(Channel, LimitsCountFromTheCall) {
  channel<int> c(1);
  auto body = [&]() -> task<> {
    auto late = c.receive_for_async(1s);
    co_await tutti::sleep_for(1s);
    const auto before = tutti::now();
    const std::optional<int> nothing = co_await late;
    EXPECT_EQ(nothing, std::nullopt);
    EXPECT_EQ(tutti::now(), before);
  };
  tutti::sync_wait(body());
}

TEST_F(Channel, ErrorsOfWaitsNameIt) {
  tutti::channel<int> jobs(1, "jobs");
  std::stop_source stopped;
  stopped.request_stop();
  const std::string by_stop = text_of([&] { jobs.receive(stopped.get_token()); });
  EXPECT_NE(by_stop.find("channel::receive of \"jobs\" at"), std::string::npos) << by_stop;
  auto body = [&]() -> tutti::task<std::string> { co_return text_of([&] { jobs.receive(); }); };
  const std::string by_loop = tutti::sync_wait(body());
  EXPECT_NE(by_loop.find("channel::receive of \"jobs\" at"), std::string::npos) << by_loop;
}

}  // namespace
