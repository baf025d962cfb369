// select: receives, sends, guards, limits and defaults, by threads and coroutines; who is first; closed channels.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/channel/channels.hpp>
#include <tutti/core/run_loop.hpp>

namespace {

using namespace std::chrono_literals;
using tutti::after;
using tutti::channel;
using tutti::on;
using tutti::on_send;
using tutti::otherwise;
using tutti::select_async;
using tutti::select_priority;
using tutti::sync_wait;
using tutti::task;
using tutti_test::until;
using tutti_test::waiting_for;
using tutti_test::watchdog;

class Select : public tutti_test::virtual_time {};

TEST_F(Select, TakesTheOneThatIsReady) {
  channel<int> a(1), b(1);
  channel<std::string> c(1);
  b.send(7);
  int got = 0;
  EXPECT_EQ(tutti::select(on(a, [](int) {}), on(b, [&](int x) { got = x; })), 1U);
  EXPECT_EQ(got, 7);
  bool sent = false;
  EXPECT_EQ(tutti::select(on(a, [](int) {}), on_send(c, "text", [&] { sent = true; })), 1U);
  EXPECT_TRUE(sent);
  EXPECT_EQ(c.receive(), "text");
}

TEST_F(Select, OtherwiseNeverWaits) {
  channel<int> a(1);
  bool nothing = false;
  EXPECT_EQ(tutti::select(on(a, [](int) {}), otherwise([&] { nothing = true; })), 1U);
  EXPECT_TRUE(nothing);
  EXPECT_EQ(tutti::select(after(0s, [] {}), on(a, [](int) {})), 0U);
  EXPECT_EQ(tutti::select(after(-1h, [] {}), on(a, [](int) {})), 0U);
}

TEST_F(Select, GuardsSwitchCasesOff) {
  channel<int> a(1), b(1);
  a.send(1);
  EXPECT_EQ(tutti::select(on(a, [](int) {}).when(false), on(b, [](int) {}), otherwise([] {})), 2U);
  EXPECT_EQ(tutti::select(on(a, [](int) {}).when(true), otherwise([] {})), 0U);
  EXPECT_THROW(tutti::select(on(a, [](int) {}).when(false), on(b, [](int) {}).when(false)), std::logic_error);
}

TEST_F(Select, WaitsForTheFirst) {
  for (const std::ptrdiff_t capacity : {0, 1}) {
    channel<int> a(capacity), b(capacity);
    int got = 0;
    {
      std::jthread thread(
          [&] { EXPECT_EQ(tutti::select(on(a, [&](int x) { got = x; }), on(b, [&](int x) { got = -x; })), 1U); });
      until([] { return waiting_for("select") == 1; });
      b.send(3);
    }
    EXPECT_EQ(got, -3);
    EXPECT_FALSE(capacity == 0 && a.try_send(1)) << "it has left the other list";
  }
}

TEST_F(Select, WaitsToSend) {
  channel<std::unique_ptr<int>> a(0), b(1);
  b.send(nullptr);
  std::jthread thread([&] {
    EXPECT_EQ(tutti::select(on_send(a, std::make_unique<int>(1), [] {}), on_send(b, std::make_unique<int>(2), [] {})),
              0U);
  });
  until([] { return waiting_for("select") == 1; });
  EXPECT_EQ(*a.receive(), 1);
  thread.join();
  EXPECT_EQ(b.size(), 1U);
}

TEST(SelectTime, AfterOnTheVirtualClock) {
  const watchdog dog;
  tutti::virtual_clock clock;
  channel<int> a(0), b(1);
  std::size_t taken = 9;
  std::jthread thread([&] { taken = tutti::select(on(a, [](int) {}), on(b, [](int) {}), after(1h, [] {})); });
  until([] { return waiting_for("select") == 1; });
  clock.advance(1h);
  thread.join();
  EXPECT_EQ(taken, 2U);
}

TEST_F(Select, AStop) {
  channel<int> a(0);
  std::stop_source stop;
  bool cancelled = false;
  {
    std::jthread thread([&] {
      try {
        tutti::select(stop.get_token(), on(a, [](int) {}));
      } catch (const tutti::cancelled&) {
        cancelled = true;
      }
    });
    until([] { return waiting_for("select") == 1; });
    stop.request_stop();
  }
  EXPECT_TRUE(cancelled);
  EXPECT_THROW(select_priority(stop.get_token(), on(a, [](int) {})), tutti::cancelled);
}

TEST_F(Select, BlockingALoopIsRefused) {
  channel<int> a(1);
  tutti::run_loop loop;
  loop.post([&] {
    EXPECT_THROW(tutti::select(on(a, [](int) {})), tutti::would_block);
    EXPECT_EQ(tutti::select(on(a, [](int) {}), otherwise([] {})), 1U);
    loop.shutdown();
  });
  loop.run();
}

// ---------------------------------------------------------------- coroutines

TEST_F(Select, InACoroutine) {
  channel<int> a(0), b(1);
  int got = 0;
  auto chooser = [&]() -> task<> {
    EXPECT_EQ(co_await select_async(on(a, [](int) {}), after(2s, [&] { got = 1; })), 1U);
    EXPECT_EQ(passed(), 2s);
    EXPECT_EQ(co_await select_async(on(a, [&](int x) { got = x; }), on(b, [](int) {})), 0U);
    EXPECT_EQ(got, 5);
    EXPECT_EQ(co_await tutti::select_priority_async(on(a, [](int) {}), otherwise([] {})), 1U);
    EXPECT_EQ(co_await select_async(on_send(b, 8, [] {}), on(a, [](int) {})), 0U);
  };
  auto other = [&]() -> task<> {
    co_await tutti::sleep_for(3s);
    co_await a.send_async(5);
  };
  auto both = [&]() -> task<> { co_await tutti::when_all(chooser(), other()); };
  sync_wait(both());
  EXPECT_EQ(b.receive(), 8);
}

TEST_F(Select, AStoppedTask) {
  channel<int> a(0), b(1);
  auto wait = [&]() -> task<std::size_t> { co_return co_await select_async(on(a, [](int) {}), on(b, [](int) {})); };
  auto end = [&]() -> task<std::string> {
    co_return co_await tutti_test::end_of([&] { return tutti::with_timeout(wait(), 1s); });
  };
  EXPECT_EQ(sync_wait(end()), "timed_out");
  EXPECT_FALSE(a.try_send(1));
}

TEST_F(Select, TwoSelectsMeet) {
  channel<int> a(0), b(0);
  int sum = 0;
  auto left = [&]() -> task<> {
    for (int i = 0; i < 100; ++i) {
      co_await select_async(on_send(a, 1, [] {}), on(b, [&](int x) { sum += x; }));
    }
  };
  auto right = [&]() -> task<> {
    for (int i = 0; i < 100; ++i) {
      co_await select_async(on(a, [&](int x) { sum += x; }), on_send(b, 1, [] {}));
    }
  };
  auto both = [&]() -> task<> { co_await tutti::when_all(left(), right()); };
  sync_wait(both());
  EXPECT_EQ(sum, 100);
}

TEST_F(Select, NeverMeetsItself) {
  channel<int> a(0);
  const auto both_sides = [&] {
    return tutti::select(on(a, [](int) {}), on_send(a, 1, [] {}), on_send(a, 2, [] {}), after(2ms, [] {}));
  };
  auto body = [&]() -> task<std::size_t> {
    co_return co_await select_async(on(a, [](int) {}), on_send(a, 1, [] {}), after(1s, [] {}));
  };
  EXPECT_EQ(sync_wait(body()), 2U);
  std::jthread other([&] { EXPECT_GT(a.receive(), 0); });
  until([] { return waiting_for("channel::receive") == 1; });
  EXPECT_NE(both_sides(), 0U);
}

// ---------------------------------------------------------------- who is first

TEST_F(Select, PriorityTakesTheFirst) {
  channel<int> a(100), b(100);
  for (int i = 0; i < 100; ++i) {
    a.send(i);
    b.send(i);
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(select_priority(on(b, [](int) {}), on(a, [](int) {})), 0U);
  EXPECT_EQ(a.size(), 100U);
}

// Of three cases that are ready among five each is taken a third of the time: within six standard deviations.
TEST_F(Select, FairGivesEachTheSameChance) {
  tutti::detail::seed_select(12345);
  constexpr int n = 9000;
  channel<int> a(1), b(1), c(1), never(1), full(1);
  full.send(0);
  std::array<int, 5> taken{};
  for (int i = 0; i < n; ++i) {
    a.try_send(0);
    b.try_send(0);
    c.try_send(0);
    const auto index = tutti::select(on(a, [](int) {}), on(never, [](int) {}), on(b, [](int) {}),
                                     on_send(full, 1, [] {}), on(c, [](int) {}));
    ++taken.at(index);
  }
  for (const std::size_t ready : {0U, 2U, 4U}) EXPECT_NEAR(taken.at(ready), n / 3, 6 * 45);
  EXPECT_EQ(taken[1] + taken[3], 0);
}

// ---------------------------------------------------------------- the end

TEST_F(Select, AClosedChannelIsPassedOver) {
  channel<int> a(1, "left"), b(1, "right");
  a.close();
  b.send(1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(tutti::select(on(a, [](int) {}), on(b, [](int) {})), 1U);
    b.send(1);
  }
  b.receive();
  b.close();
  std::string text;
  try {
    tutti::select(on(a, [](int) {}), on_send(b, 1, [] {}));
  } catch (const tutti::closed& e) {
    text = e.what();
  }
  EXPECT_NE(text.find("select: all its channels are closed: \"left\" \"right\"; "), std::string::npos) << text;
  EXPECT_EQ(tutti::select(on(a, [](int) {}), after(1h, [] {})), 1U) << "at once";
  EXPECT_EQ(tutti::select(on(a, [](int) {}), otherwise([] {})), 1U);
}

TEST_F(Select, AnOptionalSeesTheEnd) {
  channel<int> a(1), b(1);
  a.send(1);
  a.close();
  std::optional<int> seen = 9;
  const auto once = [&] { return tutti::select(on(a, [&](std::optional<int> x) { seen = x; }), on(b, [](int) {})); };
  EXPECT_EQ(once(), 0U);
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(once(), 0U);
  EXPECT_EQ(seen, std::nullopt);
}

TEST_F(Select, ClosingEndsAWait) {
  for (const std::ptrdiff_t capacity : {0, 1}) {
    channel<int> a(capacity), b(capacity);
    bool closed = false;
    {
      std::jthread thread([&] {
        try {
          tutti::select(on(a, [](int) {}), on(b, [](int) {}));
        } catch (const tutti::closed&) {
          closed = true;
        }
      });
      until([] { return waiting_for("select") == 1; });
      a.close();
      b.close();
    }
    EXPECT_TRUE(closed);
  }
}

TEST_F(Select, PoisonIsThrown) {
  channel<int> a(1), b(1);
  a.poison();
  EXPECT_THROW(tutti::select(on(a, [](int) {}), on(b, [](int) {})), tutti::poisoned);
  EXPECT_THROW(tutti::select(on(a, [](int) {}), otherwise([] {})), tutti::poisoned);
}

TEST_F(Select, WhatAFunctionThrows) {
  channel<int> a(1);
  a.send(1);
  EXPECT_THROW(tutti::select(on(a, [](int) { throw std::runtime_error("on purpose"); })), std::runtime_error);
  EXPECT_TRUE(a.empty());
}

}  // namespace
