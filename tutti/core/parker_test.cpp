#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/parker.hpp>

namespace {

using tutti::parker;
const auto long_ago = std::chrono::steady_clock::time_point{};

bool has_token(parker& p) { return p.park_until(&long_ago); }

TEST(Parker, ATokenLeftBeforeIsFound) {
  const tutti_test::watchdog dog;
  parker p;
  p.unpark();
  p.park();  // returns at once
  EXPECT_FALSE(has_token(p));
}

TEST(Parker, TokensDoNotAddUp) {
  parker p;
  p.unpark();
  p.unpark();
  EXPECT_TRUE(has_token(p));
  EXPECT_FALSE(has_token(p));
}

TEST(Parker, ADeadlineThatHasPassedLooksOnce) {
  parker p;
  EXPECT_FALSE(has_token(p));
  p.unpark();
  EXPECT_TRUE(has_token(p)) << "a token counts, however late";
}

TEST(Parker, ADeadlineToCome) {
  const tutti_test::watchdog dog;
  parker p;
  const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
  EXPECT_FALSE(p.park_until(&soon));
  EXPECT_GE(std::chrono::steady_clock::now(), soon);
  p.unpark();
  EXPECT_TRUE(has_token(p)) << "usable after a time-out";
}

TEST(Parker, WhatHappenedBeforeUnparkIsVisible) {
  const tutti_test::watchdog dog;
  parker ping, pong;
  int ball = 0;  // plain on purpose
  std::jthread other([&] {
    for (int i = 0; i < 5000; ++i) {
      ping.park();
      ++ball;
      pong.unpark();
    }
  });
  for (int i = 0; i < 5000; ++i) {
    ++ball;
    ping.unpark();
    pong.park();
    ASSERT_EQ(ball, 2 * (i + 1));
  }
}

// Tokens race with deadlines: each one is seen, now or at the next look.
TEST(Parker, NoTokenIsLostToADeadline) {
  const tutti_test::watchdog dog;
  parker p, back;
  std::jthread other([&] {
    for (int i = 0; i < 2000; ++i) {
      for (int spin = i % 64; spin > 0; --spin) tutti::cpu::pause();
      p.unpark();
      back.park();
    }
  });
  for (int i = 0; i < 2000; ++i) {
    for (;;) {
      const auto now_ish = std::chrono::steady_clock::now() + std::chrono::microseconds(i % 20);
      if (p.park_until(&now_ish)) break;
    }
    back.unpark();
  }
}

TEST(Parker, LeasesAreRecycled) {
  parker* first = nullptr;
  {
    const tutti::parker_lease lease, other;
    EXPECT_NE(&*lease, &*other);
    first = &*lease;
    lease->unpark();  // a token nobody takes goes with it
  }
  const tutti::parker_lease one, two;
  EXPECT_TRUE(&*one == first || &*two == first);
  has_token(*first);
  EXPECT_FALSE(has_token(*first));
}

}  // namespace
