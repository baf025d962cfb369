#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
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

cpu_set_t affinity() {
  cpu_set_t set{};
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  return set;
}

bool is_asleep(pid_t thread) {
  std::ifstream in("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string stat;
  std::getline(in, stat);
  return stat.substr(stat.rfind(')') + 2, 1) == "S";
}

TEST(Parker, ASleeperOnABusyCoreWakesOnAnotherOneAndMayRunAnywhereAgain) {
  const tutti_test::watchdog dog;
  const cpu_set_t everywhere = affinity();
  if (CPU_COUNT(&everywhere) < 2) GTEST_SKIP() << "needs two cores";
  cpu_set_t here{};
  CPU_SET(sched_getcpu(), &here);
  ASSERT_EQ(sched_setaffinity(0, sizeof here, &here), 0);

  parker sleeper;
  std::atomic<pid_t> id{0};
  std::atomic<bool> woken{false};
  int woken_on = -1;
  cpu_set_t affinity_then{};
  std::thread thread([&] {  // starts on our core, as it has our affinity
    ASSERT_EQ(sched_setaffinity(0, sizeof everywhere, &everywhere), 0);
    id = gettid();
    sleeper.park();
    woken_on = sched_getcpu();
    affinity_then = affinity();
    woken = true;
  });
  while (id == 0 || !is_asleep(id)) std::this_thread::yield();
  sleeper.unpark_elsewhere();
  while (!woken) tutti::cpu::pause();  // as a waker that goes on working
  thread.join();
  EXPECT_NE(woken_on, sched_getcpu());
  EXPECT_TRUE(CPU_EQUAL(&affinity_then, &everywhere));
  EXPECT_EQ(sched_setaffinity(0, sizeof everywhere, &everywhere), 0);
}

}  // namespace
