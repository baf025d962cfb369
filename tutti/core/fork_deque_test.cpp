// The split deque: order and hints on one thread, and under thieves.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/fork_deque.hpp>
#include <vector>

namespace {

using tutti::fork_deque;

struct branch : tutti::fork_record {
  int id = 0;
  std::uint32_t depth = 0, root = 0;  // where the owner forked it
  std::atomic<int> runs{0};
  std::atomic<bool> over{false};
};

constexpr auto still = [] { return true; };  // the root runs on

struct ForkDeque : testing::Test {
  std::unique_ptr<fork_deque> deque = std::make_unique<fork_deque>();
  std::vector<branch> records{fork_deque::capacity};
  void push(int n) {
    for (int i = 0; i < n; ++i) deque->push(&records[deque->bottom()]);
  }
};

TEST_F(ForkDeque, PrivateBranchesComeBackYoungestFirst) {
  push(3);
  EXPECT_EQ(deque->bottom(), 3U);
  EXPECT_TRUE(deque->has_private());
  EXPECT_TRUE(deque->pop_private(2));
  EXPECT_TRUE(deque->pop_private(1));
  EXPECT_TRUE(deque->pop_private(0));
  EXPECT_EQ(deque->bottom(), 0U);
  EXPECT_FALSE(deque->has_private());
}

TEST_F(ForkDeque, NothingIsStolenThatIsNotOnOffer) {
  push(3);
  EXPECT_FALSE(deque->has_offer());
  EXPECT_EQ(deque->steal(), nullptr);
  EXPECT_EQ(deque->steal_descendant(0, still), nullptr);
}

TEST_F(ForkDeque, TheOldestIsOfferedAndStolenFirst) {
  push(3);
  EXPECT_EQ(deque->oldest_private(), &records[0]);
  deque->publish();
  EXPECT_EQ(deque->oldest_private(), &records[1]);
  deque->publish();
  EXPECT_TRUE(deque->has_offer());
  EXPECT_EQ(deque->steal(), &records[0]);
  EXPECT_EQ(deque->steal(), &records[1]);
  EXPECT_EQ(deque->steal(), nullptr);
  EXPECT_FALSE(deque->has_offer());
  EXPECT_TRUE(deque->pop_private(2));
  EXPECT_FALSE(deque->pop_private(1)) << "published";
  EXPECT_FALSE(deque->reclaim(1)) << "stolen";
  deque->forget(1);
  EXPECT_FALSE(deque->reclaim(0));
  deque->forget(0);
  EXPECT_EQ(deque->bottom(), 0U);
}

TEST_F(ForkDeque, AnOfferNobodyTookIsReclaimed) {
  push(2);
  deque->publish();
  deque->publish();
  EXPECT_FALSE(deque->pop_private(1));
  EXPECT_TRUE(deque->reclaim(1));
  EXPECT_TRUE(deque->has_offer());
  EXPECT_EQ(deque->steal(), &records[0]);
  EXPECT_FALSE(deque->reclaim(0));
  deque->forget(0);
  push(1);
  EXPECT_TRUE(deque->pop_private(0)) << "as new";
}

TEST_F(ForkDeque, AskingIsAnsweredOnce) {
  EXPECT_TRUE(deque->wanted()) << "nothing is on offer at first";
  deque->satisfied();
  EXPECT_FALSE(deque->wanted());
  deque->want();
  EXPECT_TRUE(deque->wanted());
}

TEST_F(ForkDeque, AnEmptyShelfAsksForMore) {
  push(3);
  deque->publish();
  deque->publish();
  deque->satisfied();
  EXPECT_EQ(deque->steal(), &records[0]);
  EXPECT_FALSE(deque->wanted()) << "one is left";
  EXPECT_EQ(deque->steal(), &records[1]);
  EXPECT_TRUE(deque->wanted());
  deque->satisfied();
  EXPECT_TRUE(deque->pop_private(2));
  EXPECT_FALSE(deque->reclaim(1));
  deque->forget(1);
  EXPECT_TRUE(deque->wanted());
}

TEST_F(ForkDeque, ReclaimingTheLastOfferAsksForMore) {
  push(1);
  deque->publish();
  deque->satisfied();
  EXPECT_TRUE(deque->reclaim(0));
  EXPECT_TRUE(deque->wanted());
}

TEST_F(ForkDeque, OnlyDescendantsOfTheGivenRoot) {
  push(3);
  deque->publish();
  EXPECT_EQ(deque->steal_descendant(1, still), nullptr) << "the oldest was forked before that root began";
  EXPECT_EQ(deque->steal_descendant(0, [] { return false; }), nullptr) << "that root has ended";
  EXPECT_EQ(deque->steal_descendant(0, still), &records[0]);
  deque->publish();
  EXPECT_EQ(deque->steal_descendant(1, still), &records[1]);
}

// The root ends, and the owner forks again at the same depth, between the thief's last look and its compare-and-swap.
TEST_F(ForkDeque, WhatIsForkedAfterTheRootIsNotTaken) {
  push(2);
  deque->publish();
  int looks = 0;
  const auto ends_now = [&] {
    if (looks++ > 0) return false;
    EXPECT_TRUE(deque->pop_private(1));
    EXPECT_TRUE(deque->reclaim(0));
    deque->end_root();
    push(2);
    deque->publish();
    return true;
  };
  EXPECT_EQ(deque->steal_descendant(0, ends_now), nullptr);
  EXPECT_NE(deque->steal(), nullptr);
}

TEST_F(ForkDeque, HoldsItsCapacity) {
  push(fork_deque::capacity - 1);
  EXPECT_FALSE(deque->full());
  push(1);
  EXPECT_TRUE(deque->full());
  for (std::uint32_t i = 0; i < fork_deque::capacity; ++i) deque->publish();
  for (std::uint32_t i = 0; i < fork_deque::capacity; ++i) EXPECT_EQ(deque->steal(), &records[i]);
  EXPECT_EQ(deque->steal(), nullptr);
  for (std::uint32_t i = fork_deque::capacity; i-- > 0;) {
    EXPECT_FALSE(deque->reclaim(i));
    deque->forget(i);
  }
  EXPECT_FALSE(deque->full());
}

// ---------------------------------------------------------------- under thieves

// The owner forks and joins at random depths, root after root; thieves steal anything, or only below a root they were
// told of. Every branch must be run exactly once, and what was stolen below a root must have been forked below it.
void stress(unsigned seed, int thieves) {
  const tutti_test::watchdog dog;
  constexpr int roots = 400, forks_per_root = 60;
  std::vector<branch> all(static_cast<std::size_t>(roots) * forks_per_root);
  const auto deque = std::make_unique<fork_deque>();
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> some_root{0};  // root << 32 | base
  std::atomic<std::uint32_t> current_root{0};
  std::atomic<int> strangers{0}, stolen{0};

  std::vector<std::jthread> threads;
  for (int t = 0; t < thieves; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(seed + 1 + static_cast<unsigned>(t));
      while (!over.load(std::memory_order_acquire)) {
        tutti::fork_record* taken = nullptr;
        if (random() % 2 == 0) {
          taken = deque->steal();
        } else {
          const std::uint64_t root = some_root.load(std::memory_order_acquire);
          const auto base = static_cast<std::uint32_t>(root), wanted = static_cast<std::uint32_t>(root >> 32);
          taken = deque->steal_descendant(base, [&] { return current_root.load(std::memory_order_acquire) == wanted; });
          if (taken != nullptr) {
            const auto& one = *static_cast<branch*>(taken);
            if (one.root != wanted || one.depth < base) ++strangers;
          }
        }
        if (taken == nullptr) {
          deque->want();
          std::this_thread::yield();
          continue;
        }
        auto& one = *static_cast<branch*>(taken);
        ++stolen;
        ++one.runs;
        one.over.store(true, std::memory_order_release);
      }
    });
  }

  std::mt19937 random(seed);
  std::size_t next = 0;
  std::vector<branch*> stack;
  const auto join = [&] {
    const auto at = static_cast<std::uint32_t>(stack.size() - 1);
    branch& youngest = *stack.back();
    stack.pop_back();
    if (deque->pop_private(at) || deque->reclaim(at)) {
      ++youngest.runs;
      return;
    }
    while (!youngest.over.load(std::memory_order_acquire)) std::this_thread::yield();
    deque->forget(at);
  };
  for (int r = 0; r < roots; ++r) {
    const auto root = static_cast<std::uint32_t>(r);
    current_root.store(root, std::memory_order_release);
    for (int forked = 0; forked < forks_per_root;) {
      if (!stack.empty() && random() % 3 == 0) {
        join();
        continue;
      }
      branch& one = all[next++];
      ++forked;
      one.id = static_cast<int>(next);
      one.depth = deque->bottom();
      one.root = root;
      deque->push(&one);
      stack.push_back(&one);
      if (random() % 4 == 0) {
        some_root.store(std::uint64_t{root} << 32 | deque->bottom() / 2, std::memory_order_release);
      }
      if (deque->wanted()) {
        deque->satisfied();
        deque->publish();
      } else if (random() % 8 == 0 && deque->has_private()) {
        deque->publish();
      }
      if (random() % 16 == 0) std::this_thread::yield();
    }
    while (!stack.empty()) join();
    current_root.store(~std::uint32_t{0}, std::memory_order_release);
    deque->end_root();
  }
  over.store(true, std::memory_order_release);
  threads.clear();

  int wrong = 0;
  for (const branch& one : all) wrong += one.runs.load() != 1;
  EXPECT_EQ(wrong, 0) << "lost or run twice; seed " << seed;
  EXPECT_EQ(strangers.load(), 0) << "seed " << seed;
  EXPECT_EQ(next, all.size());
}

TEST(ForkDequeStress, NoBranchIsLostOrRunTwice) {
  const auto seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()) + 71U;
  RecordProperty("seed", static_cast<int>(seed));
  for (int thieves = 1; thieves <= 3; ++thieves) {
    for (unsigned round = 0; round < 5; ++round) stress(seed + 1000 * round, thieves);
  }
}

}  // namespace
