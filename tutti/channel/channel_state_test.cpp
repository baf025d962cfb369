// Channels: closing, poison, orders, rendezvous, counting what was done; bad input.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <limits>
#include <memory>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/channel/channels.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::channel;
using tutti::sync_wait;
using tutti::task;
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

class ChannelState : public tutti_test::virtual_time {};

// ---------------------------------------------------------------- closing

TEST_F(ChannelState, ReceiversDrainThenSeeClosed) {
  channel<int> c(3, "jobs");
  c.send(1);
  c.send(2);
  c.close();
  c.close();
  EXPECT_TRUE(c.is_closed());
  EXPECT_THROW(c.send(3), tutti::closed);
  EXPECT_THROW(c.try_send(3), tutti::closed);
  EXPECT_EQ(c.receive(), 1);
  EXPECT_EQ(c.next(), 2);
  EXPECT_EQ(c.next(), std::nullopt);
  EXPECT_THROW(c.try_receive(), tutti::closed);
  EXPECT_THROW(c.receive_for(1s), tutti::closed);
  EXPECT_EQ(
      text_of([&] { c.receive(); }),
      "channel \"jobs\": closed, and all that was sent has been received; next() gives an empty optional instead");
  EXPECT_EQ(text_of([&] { c.send(1); }), "channel \"jobs\": closed, so nothing more can be sent");
}

TEST_F(ChannelState, ClosingWakesAllWhoWait) {
  for (const std::ptrdiff_t capacity : {0, 1}) {
    channel<int> c(capacity);
    std::atomic<int> closed{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        try {
          c.receive();
        } catch (const tutti::closed&) {
          ++closed;
        }
      });
    }
    auto in_task = [&]() -> task<> { EXPECT_EQ(co_await c.next_async(), std::nullopt); };
    auto future = tutti::default_pool().submit(in_task());
    until([] { return waiting_for("channel::receive") == 3; });
    c.close();
    threads.clear();
    future.get();
    EXPECT_EQ(closed, 3);
  }
}

TEST_F(ChannelState, SendersWhoWaitSeeClosed) {
  for (const std::ptrdiff_t capacity : {0, 1}) {
    channel<int> c(capacity);
    if (capacity == 1) c.send(1);
    bool closed = false;
    {
      std::jthread sender([&] {
        try {
          c.send(2);
        } catch (const tutti::closed&) {
          closed = true;
        }
      });
      until([] { return waiting_for("channel::send") == 1; });
      c.close();
    }
    EXPECT_TRUE(closed);
    EXPECT_EQ(c.next(), capacity == 1 ? std::optional(1) : std::nullopt);
    EXPECT_EQ(c.next(), std::nullopt);
  }
}

TEST_F(ChannelState, IterationUntilClosed) {
  channel<int> c(2);
  std::jthread sender([&] {
    for (int i = 0; i < 100; ++i) c.send(i);
    c.close();
  });
  int expected = 0;
  for (const int x : c) EXPECT_EQ(x, expected++);
  EXPECT_EQ(expected, 100);
}

TEST_F(ChannelState, PoisonDropsAndTellsEverybody) {
  auto counted = std::make_shared<int>(0);
  for (const int kind : {0, 1, 2}) {
    using element = std::shared_ptr<int>;
    std::optional<channel<element>> c;
    if (kind == 0) c.emplace(4);
    if (kind == 1) c.emplace(4, tutti::lifo);
    if (kind == 2) c.emplace(4, tutti::by_priority([](const element& e) { return *e; }));
    c->send(counted);
    c->send(counted);
    EXPECT_EQ(counted.use_count(), 3);
    c->poison();
    EXPECT_EQ(counted.use_count(), 1);
    EXPECT_THROW(c->send(counted), tutti::poisoned);
    EXPECT_THROW(c->receive(), tutti::poisoned);
    EXPECT_THROW(c->next(), tutti::poisoned);
    EXPECT_THROW(c->try_receive(), tutti::poisoned);
    EXPECT_THROW(c->join(), tutti::poisoned);
  }
}

TEST_F(ChannelState, PoisonWakesAllWhoWait) {
  channel<int> c(1);
  bool poisoned = false;
  {
    std::jthread receiver([&] {
      try {
        c.next();
      } catch (const tutti::poisoned&) {
        poisoned = true;
      }
    });
    until([] { return waiting_for("channel::next") == 1; });
    c.poison();
  }
  EXPECT_TRUE(poisoned);
}

// Its next move on this thread does something first: for a channel that moves it, under the lock of its receivers.
struct eventful {
  static inline thread_local std::function<void()> on_move;
  eventful() = default;
  eventful(eventful&&) noexcept {
    if (auto first = std::exchange(on_move, nullptr)) first();
  }
};

// A receiver that came before the poison and waits for the lock until all has been dropped: no clean end for it.
TEST_F(ChannelState, PoisonIsNoCleanEndForALateReceiver) {
  for (int round = 0; round < 20; ++round) {
    channel<eventful> first_in(2), last_in(2, tutti::lifo);
    channel<eventful>& c = round % 2 == 0 ? first_in : last_in;
    c.send({});
    c.send({});
    bool ended = false;
    std::jthread late;
    eventful::on_move = [&] {
      std::atomic<bool> comes{false};
      late = std::jthread([&] {
        comes = true;
        try {
          ended = !c.next();
        } catch (const tutti::poisoned&) {
        }
      });
      until([&] { return comes.load(); });
      std::this_thread::sleep_for(2ms);  // it sleeps on the lock now, and wakes slower than poison comes
    };
    c.receive();
    c.poison();
    late.join();
    ASSERT_FALSE(ended) << "round " << round;
  }
}

TEST_F(ChannelState, WhatIsLeftIsDestroyedWithIt) {
  auto counted = std::make_shared<int>(0);
  {
    channel<std::shared_ptr<int>> ring(4), stack(4, tutti::lifo);
    ring.send(counted);
    stack.send(counted);
    EXPECT_EQ(counted.use_count(), 3);
  }
  EXPECT_EQ(counted.use_count(), 1);
}

// ---------------------------------------------------------------- orders

TEST_F(ChannelState, LastInFirstOut) {
  channel<int> c(3, tutti::lifo, "stack");
  for (int i = 0; i < 3; ++i) c.send(i);
  EXPECT_FALSE(c.try_send(3));
  EXPECT_EQ(c.receive(), 2);
  c.send(7);
  EXPECT_EQ(c.receive(), 7);
  EXPECT_EQ(c.receive(), 1);
  EXPECT_EQ(c.receive(), 0);
  EXPECT_EQ(c.try_receive(), std::nullopt);
}

struct job {
  int urgency;
  int number;
};

TEST_F(ChannelState, ByPriorityAndStable) {
  channel<job> c(100, tutti::by_priority(&job::urgency));
  for (int i = 0; i < 100; ++i) c.send({i % 3, i});
  EXPECT_FALSE(c.try_send({9, 100}));
  int urgency = 2, number = -1;
  for (int i = 0; i < 100; ++i) {
    const job next = c.receive();
    if (next.urgency != urgency) {
      EXPECT_EQ(next.urgency, urgency - 1);
      urgency = next.urgency;
      number = -1;
    }
    EXPECT_GT(next.number, number);
    number = next.number;
  }
}

TEST_F(ChannelState, BlockingInOtherOrders) {
  channel<int> c(1, tutti::lifo);
  std::jthread sender([&] {
    for (int i = 0; i < 100; ++i) c.send(i);
    c.close();
  });
  int n = 0;
  for (const int x : c) EXPECT_EQ(x, n++);
  EXPECT_EQ(n, 100);
}

// ---------------------------------------------------------------- rendezvous

TEST(ChannelRendezvous, RendezvousHoldsNothing) {
  const watchdog dog;
  channel<int> c(0);
  EXPECT_FALSE(c.try_send(1));
  EXPECT_EQ(c.try_receive(), std::nullopt);
  EXPECT_EQ(c.size(), 0U);
  EXPECT_FALSE(c.send_for(1ms, 1));
  EXPECT_EQ(c.receive_for(1ms), std::nullopt);
}

TEST_F(ChannelState, RendezvousMeets) {
  channel<std::unique_ptr<int>> c(0);
  {
    std::jthread receiver([&] { EXPECT_EQ(*c.receive(), 5); });
    until([] { return waiting_for("channel::receive") == 1; });
    EXPECT_TRUE(c.try_send(std::make_unique<int>(5)));
  }
  std::jthread sender([&] { c.send(std::make_unique<int>(6)); });
  until([] { return waiting_for("channel::send") == 1; });
  EXPECT_EQ(**c.try_receive(), 6);
}

// ---------------------------------------------------------------- counting

TEST_F(ChannelState, JoinWaitsForWhatWasSent) {
  channel<int> c(4);
  c.join();
  EXPECT_THROW(c.task_done(), std::logic_error);
  c.send(1);
  c.send(2);
  EXPECT_FALSE(c.try_join());
  EXPECT_FALSE(c.join_for(0s));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(c.join(stop.get_token()), tutti::cancelled);
  std::atomic<bool> joined{false};
  std::jthread joiner([&] {
    c.join();
    joined = true;
  });
  until([] { return waiting_for("channel::join") == 1; });
  c.receive();
  c.task_done();
  EXPECT_FALSE(joined);
  c.receive();
  c.task_done();
  joiner.join();
  EXPECT_TRUE(c.try_join());
  EXPECT_NE(text_of([&] { c.task_done(); }).find("called 3 times, but only 2 elements were sent"), std::string::npos);
}

TEST_F(ChannelState, JoinInACoroutine) {
  channel<int> c(0);
  auto work = [&]() -> task<> {
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(co_await c.receive_async(), i);
      co_await tutti::sleep_for(1s);
      c.task_done();
    }
  };
  auto body = [&]() -> task<> {
    auto worker = tutti::spawn(work());
    for (int i = 0; i < 10; ++i) co_await c.send_async(i);
    EXPECT_FALSE(co_await c.join_for_async(500ms));
    EXPECT_TRUE(co_await c.join_async());
    EXPECT_EQ(passed(), 10s);
    co_await std::move(worker);
  };
  sync_wait(body());
}

// ---------------------------------------------------------------- bad input

TEST_F(ChannelState, BadCapacities) {
  EXPECT_EQ(text_of([] { channel<int>(-1, "jobs"); }),
            "channel \"jobs\": capacity -1 is not between 0 (rendezvous) and 2147483648");
  EXPECT_THROW(channel<int>{std::numeric_limits<std::ptrdiff_t>::min()}, std::invalid_argument);
  EXPECT_THROW(channel<int>{std::numeric_limits<std::ptrdiff_t>::max()}, std::invalid_argument);
  EXPECT_THROW(channel<int>((std::ptrdiff_t{1} << 31) + 1), std::invalid_argument);
  EXPECT_THROW(channel<int>(0, tutti::lifo), std::invalid_argument);
  EXPECT_THROW(channel<int>(0, tutti::by_priority(std::identity())), std::invalid_argument);
}

TEST(ChannelDeathTest, DestroyedWhileSomebodyWaits) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto* c = new channel<int>(1, "jobs");
        std::thread([c] { c->receive(); }).detach();
        until([] { return waiting_for("channel::receive") == 1; });
        delete c;
      },
      "tutti: fatal: channel \"jobs\" destroyed while 1 waits for it");
}

}  // namespace
