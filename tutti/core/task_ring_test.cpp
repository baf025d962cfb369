// The ring of queued tasks: order and limits on one thread, and with takers around it.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/call.hpp>
#include <tutti/core/task_ring.hpp>
#include <vector>

namespace {

using tutti::task_ring;

struct task final : tutti::call_node {
  void run() noexcept override {}
  void abandon(std::exception_ptr) noexcept override {}
  std::uint64_t position = 0;
  std::uint64_t root = 0;
  std::atomic<int> taken{0};
};

struct TaskRing : testing::Test {
  std::unique_ptr<task_ring> ring = std::make_unique<task_ring>();
  std::vector<task> tasks{1024};
  std::size_t next = 0;
  bool push() { return ring->push(&tasks[next]) && (++next, true); }
};
const auto always = [] { return true; };
const auto never = [] { return false; };

TEST_F(TaskRing, FirstInFirstOut) {
  EXPECT_TRUE(ring->maybe_empty());
  EXPECT_FALSE(ring->has_task());
  EXPECT_EQ(ring->take(), nullptr);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(push());
  EXPECT_EQ(ring->size(), 5U);
  EXPECT_TRUE(ring->has_task());
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(ring->take(), &tasks[i]);
  EXPECT_EQ(ring->take(), nullptr);
  EXPECT_TRUE(ring->maybe_empty());
}

TEST_F(TaskRing, RefusesMoreThanItHolds) {
  for (std::uint64_t i = 0; i < task_ring::capacity; ++i) EXPECT_TRUE(push());
  EXPECT_FALSE(push());
  EXPECT_EQ(ring->size(), task_ring::capacity);
  EXPECT_EQ(ring->take(), &tasks[0]);
  EXPECT_TRUE(push()) << "there is room again";
  EXPECT_FALSE(push());
}

TEST_F(TaskRing, PositionsGrowThroughEveryWrap) {
  for (std::uint64_t i = 0; i < 3 * task_ring::capacity; ++i) {
    next = i % tasks.size();
    EXPECT_EQ(ring->tail(), i);
    EXPECT_TRUE(push());
    EXPECT_EQ(ring->take(), &tasks[i % tasks.size()]);
  }
}

TEST_F(TaskRing, TakesOnlyWhatTheRootHasPushed) {
  EXPECT_TRUE(push());
  const auto base = ring->tail();
  EXPECT_EQ(ring->take_if(always, base), nullptr) << "it was there before the root began";
  EXPECT_TRUE(push());
  EXPECT_EQ(ring->take_if(always, base), nullptr) << "the older one is in front";
  EXPECT_EQ(ring->take(), &tasks[0]);
  EXPECT_EQ(ring->take_if(never, base), nullptr) << "the root is over";
  EXPECT_EQ(ring->take_if(always, base + 1), nullptr);
  EXPECT_EQ(ring->take_if(always, base), &tasks[1]);
  EXPECT_EQ(ring->take_if(always, base), nullptr);
}

TEST_F(TaskRing, TheRootIsAskedAboutAfterItsTaskWasSeen) {
  int asked = 0;
  const auto ask = [&] {
    ++asked;
    return true;
  };
  EXPECT_EQ(ring->take_if(ask, 0), nullptr);
  EXPECT_EQ(asked, 0);
  EXPECT_TRUE(push());
  EXPECT_EQ(ring->take_if(ask, 0), &tasks[0]);
  EXPECT_EQ(asked, 1);
}

TEST_F(TaskRing, HalfIsRoundedUpAndLimited) {
  std::array<tutti::call_node*, 64> out{};
  EXPECT_EQ(ring->take_half(out.data(), out.size()), 0U);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(push());
  EXPECT_EQ(ring->take_half(out.data(), out.size()), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(out[i], &tasks[i]);
  EXPECT_EQ(ring->take_half(out.data(), out.size()), 1U);
  EXPECT_EQ(ring->take_half(out.data(), out.size()), 1U);
  EXPECT_EQ(ring->take_half(out.data(), out.size()), 0U);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(push());
  EXPECT_EQ(ring->take_half(out.data(), 7), 7U);
  EXPECT_EQ(out[6], &tasks[11]);
}

TEST_F(TaskRing, TheOwnerLeavesWhatItDoesNotWantWhereItIs) {
  const auto first = [&](const tutti::call_node& one) { return &one == &tasks[0]; };
  EXPECT_EQ(ring->take_own_if(first), nullptr);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(push());
  EXPECT_EQ(ring->take_own_if([&](const tutti::call_node&) {
    EXPECT_FALSE(ring->has_task());
    EXPECT_EQ(ring->take(), nullptr) << "nobody takes it meanwhile";
    return false;
  }),
            nullptr);
  EXPECT_EQ(ring->size(), 2U);
  EXPECT_EQ(ring->take_own_if(first), &tasks[0]);
  EXPECT_EQ(ring->take_own_if(first), nullptr);
  EXPECT_TRUE(ring->has_task());
  EXPECT_EQ(ring->take_if(always, 1), &tasks[1]) << "positions are what they were";
  EXPECT_EQ(ring->take_own_if(first), nullptr);
}

// ---------------------------------------------------------------- with takers

// One owner pushes, and takes now and then; others take one, a half, or only what a root they were told of has pushed.
void stress(unsigned seed, int takers) {
  const tutti_test::watchdog dog;
  constexpr std::uint64_t count = 30000, per_root = 37, no_root = ~std::uint64_t{0};
  std::vector<task> all(count);
  const auto ring = std::make_unique<task_ring>();
  std::atomic<std::uint64_t> root_now{0}, base_now{0};  // the root the owner works on: its number, where it began
  std::atomic<std::uint64_t> left{count};
  std::atomic<int> out_of_order{0}, strangers{0};

  const auto account = [&](tutti::call_node* node, std::uint64_t& last) {
    auto& one = *static_cast<task*>(node);
    ++one.taken;
    if (one.position < last) ++out_of_order;  // positions one taker sees only grow
    last = one.position;
    --left;
  };
  std::vector<std::jthread> threads;
  for (int t = 0; t < takers; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(seed + 1 + static_cast<unsigned>(t));
      std::array<tutti::call_node*, 32> half{};
      std::uint64_t last = 0;
      while (left.load() != 0) {
        const auto way = random() % 3;
        if (way == 0) {
          const auto n = ring->take_half(half.data(), 1 + random() % half.size());
          for (std::size_t i = 0; i < n; ++i) account(half[i], last);
        } else if (way == 1) {
          if (auto* node = ring->take()) account(node, last);
        } else {
          const auto root = root_now.load();
          const auto base = base_now.load();
          if (root == no_root) continue;
          // As a waiter does: it knows where the root began, and can see whether it still runs.
          if (auto* node = ring->take_if([&] { return root_now.load() == root && base_now.load() == base; }, base)) {
            if (static_cast<task*>(node)->root != root) ++strangers;
            account(node, last);
          }
        }
        if (random() % 8 == 0) std::this_thread::yield();
      }
    });
  }
  std::mt19937 random(seed);
  std::uint64_t last = 0;
  for (std::uint64_t i = 0; i < count;) {
    if (i % per_root == 0) {
      root_now.store(no_root);  // while base changes
      base_now.store(ring->tail());
      root_now.store(i / per_root);
    }
    all[i].position = i;
    all[i].root = i / per_root;
    if (ring->push(&all[i])) {
      ++i;
    } else {
      if (auto* node = ring->take()) account(node, last);
    }
    if (random() % 5 == 0) {
      const bool wanted = random() % 2 == 0;
      if (auto* node = ring->take_own_if([&](const tutti::call_node&) { return wanted; })) account(node, last);
    }
  }
  while (auto* node = ring->take()) account(node, last);
  threads.clear();

  int wrong = 0;
  for (const task& one : all) wrong += one.taken.load() != 1;
  EXPECT_EQ(wrong, 0) << "lost or taken twice; seed " << seed;
  EXPECT_EQ(out_of_order.load(), 0) << "seed " << seed;
  EXPECT_EQ(strangers.load(), 0) << "seed " << seed;
}

TEST(TaskRingStress, NoTaskIsLostOrTakenTwice) {
  const auto seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()) + 72U;
  RecordProperty("seed", static_cast<int>(seed));
  for (int takers = 1; takers <= 3; ++takers) stress(seed, takers);
}

}  // namespace
