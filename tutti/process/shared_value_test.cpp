#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/choices.hpp>
#include <tests/support/killed_at.hpp>
#include <tests/support/round_trip.hpp>
#include <tutti/process/shared_array.hpp>
#include <tutti/process/shared_value.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/thread_pool.hpp>

#include <array>
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <vector>

namespace {

using tutti::shared_value;
using tutti_test::child;
using tutti_test::round_trip;
using tutti_test::sent_as;
using tutti_test::talk;

struct wide {
  std::array<std::uint64_t, 9> words{};
  bool operator==(const wide&) const = default;
};
struct padded {
  char first = 0;
  int second = 0;
  bool operator==(const padded&) const = default;
};
struct no_default {
  explicit no_default(int v) : value(v) {}
  int value;
  char more[29] = {};
};
enum class colour : std::uint8_t { red, green };

wide filled(std::uint64_t with) {
  wide result;
  result.words.fill(with);
  return result;
}
bool is_whole(const wide& value) { return value == filled(value.words[0]); }

static_assert(shared_value<int>::is_always_lock_free);
static_assert(shared_value<double>::is_always_lock_free);
static_assert(shared_value<bool>::is_always_lock_free);
static_assert(shared_value<colour>::is_always_lock_free);
static_assert(!shared_value<padded>::is_always_lock_free);
static_assert(!shared_value<wide>::is_always_lock_free);

TEST(SharedValue, IsTheSameInAllProcesses) {
  const shared_value<int> counter(0);
  {
    std::deque<child> children;
    for (int p = 0; p < 4; ++p) {
      children.emplace_back([&](const talk&) {
        for (int i = 0; i < 1000; ++i) counter.fetch_add(1);
        return 0;
      });
    }
    for (child& each : children) EXPECT_EQ(each.exit_code(), 0);
  }
  EXPECT_EQ(counter.load(), 4000);
}

TEST(SharedValue, ChangesInOneStep) {
  const shared_value<int> number(5);
  EXPECT_EQ(number.exchange(6), 5);
  number.store(7);
  EXPECT_EQ(number.fetch_add(3), 7);
  EXPECT_EQ(number.fetch_sub(2), 10);
  EXPECT_EQ(number.fetch_and(12), 8);
  EXPECT_EQ(number.fetch_or(3), 8);
  EXPECT_EQ(number.fetch_xor(1), 11);
  EXPECT_EQ(number.update([](int n) { return n * 2; }), 20);
  int expected = 19;
  EXPECT_FALSE(number.compare_exchange(expected, 1));
  EXPECT_EQ(expected, 20);
  EXPECT_TRUE(number.compare_exchange(expected, 1));
  EXPECT_EQ(number.load(), 1);

  const shared_value<double> real(0.5);
  EXPECT_EQ(real.fetch_add(1), 0.5);
  EXPECT_EQ(real.load(), 1.5);
  const shared_value<bool> flag(false);
  EXPECT_FALSE(flag.exchange(true));
  EXPECT_TRUE(flag.load());
  const shared_value<colour> shade(colour::red);
  shade.store(colour::green);
  EXPECT_EQ(shade.load(), colour::green);
}

TEST(SharedValue, LargeOnesToo) {
  const shared_value<wide> value(filled(1));
  EXPECT_EQ(value.load(), filled(1));
  EXPECT_EQ(value.exchange(filled(2)), filled(1));
  value.store(filled(3));
  EXPECT_EQ(value
                .update([](wide w) {
                  w.words[4] = 0;
                  return w;
                })
                .words[4],
            0u);
  EXPECT_EQ(value.load().words[3], 3u);
  const shared_value<padded> small(padded{'a', 1});
  EXPECT_EQ(small.exchange(padded{'b', 2}), (padded{'a', 1}));
  EXPECT_EQ(small.load(), (padded{'b', 2}));
  EXPECT_EQ(shared_value<no_default>(no_default(7)).load().value, 7);
}

template <class T>
class SharedValueOf : public testing::Test {};
using kinds = testing::Types<int, padded>;
TYPED_TEST_SUITE(SharedValueOf, kinds);

TYPED_TEST(SharedValueOf, IsUnchangedByAnUpdateThatThrows) {
  const shared_value<TypeParam> value(TypeParam{1});
  EXPECT_THROW(value.update([](const TypeParam&) -> TypeParam { throw std::runtime_error("no"); }), std::runtime_error);
  EXPECT_EQ(value.load(), TypeParam{1});
  value.store(TypeParam{2});
  EXPECT_EQ(value.load(), TypeParam{2});
}

TYPED_TEST(SharedValueOf, RefersToNothingByDefault) {
  const shared_value<TypeParam> none;
  EXPECT_FALSE(none);
  EXPECT_THROW(static_cast<void>(none.load()), std::logic_error);
  EXPECT_THROW(none.store(TypeParam{}), std::logic_error);
  EXPECT_THROW(none.update([](TypeParam t) { return t; }), std::logic_error);
  EXPECT_THROW(none.notify_all(), std::logic_error);
  EXPECT_THROW(none.wait(TypeParam{}), std::logic_error);
  EXPECT_FALSE(round_trip(none));
  shared_value<TypeParam> moved(TypeParam{1});
  const shared_value<TypeParam> to(std::move(moved));
  EXPECT_TRUE(to);
  EXPECT_THROW(static_cast<void>(moved.load()), std::logic_error);  // NOLINT(bugprone-use-after-move)
}

TYPED_TEST(SharedValueOf, TravelsByHandle) {
  const shared_value<TypeParam> here(TypeParam{1});
  const shared_value<TypeParam> there = round_trip(here);
  there.store(TypeParam{9});
  EXPECT_EQ(here.load(), TypeParam{9});
  EXPECT_THROW(static_cast<void>(tutti::encode(here)), tutti::encode_error);
}

TEST(SharedValue, RefusesWhatIsSomethingElse) {
  const shared_value<int> number(1);
  EXPECT_THROW(sent_as<shared_value<std::int64_t>>(number), tutti::decode_error);
  EXPECT_THROW(sent_as<shared_value<wide>>(number), tutti::decode_error);
  EXPECT_THROW(sent_as<shared_value<int>>(shared_value<wide>(wide())), tutti::decode_error);
  EXPECT_THROW(sent_as<shared_value<int>>(tutti::shared_array<int>(1)), tutti::decode_error);
  EXPECT_THROW(static_cast<void>(tutti::decode<shared_value<int>>(std::string("\1\0\0\0\0", 5))), tutti::decode_error);
}

TEST(SharedValue, RefusesToBeUsedInItsOwnUpdate) {
  const shared_value<wide> value(filled(1));
  EXPECT_THROW(value.update([&](const wide& w) {
    value.store(w);
    return w;
  }),
               tutti::deadlock);
  EXPECT_EQ(value.load(), filled(1));
}

// The writer is killed while it holds the lock, with nothing published.
TEST(SharedValue, SurvivesAWriter) {
  const shared_value<wide> value(filled(1));
  child writer([&](const talk& parent) {
    value.update([&](const wide&) {
      parent.say();
      parent.wait_for_the_end();
      return filled(2);
    });
    return 0;
  });
  writer.hear();
  EXPECT_EQ(value.load(), filled(1));  // needs no lock
  writer.kill();
  EXPECT_EQ(value.load(), filled(1));
  value.store(filled(3));
  EXPECT_EQ(value.load(), filled(3));
}

TEST(SharedValue, IsWholeWhereverAWriterDies) {
  const shared_value<wide> value(filled(0));
  std::uint64_t now = 0;
  bool old_ones = false;
  tutti_test::at_every_point([] {}, [&] { value.update([](const wide& w) { return filled(w.words[0] + 1); }); },
                             [&] {
                               const wide seen = value.load();
                               ASSERT_TRUE(is_whole(seen));
                               ASSERT_LE(now + 1, seen.words[0]);  // it was done once, and begun again
                               ASSERT_LE(seen.words[0], now + 2);
                               if (seen.words[0] == now + 1) old_ones = true;
                               now += 2;
                               value.store(filled(now));
                               ASSERT_EQ(value.load(), filled(now));
                             },
                             46);
  EXPECT_TRUE(old_ones);
}

// Killed anywhere. Each write is one more than the one before, whoever made it: none is half there, none is lost.
TEST(SharedValueStress, IsWholeWhoeverIsKilled) {
  tutti_test::choices choose(41);
  const shared_value<wide> value(filled(0));
  const shared_value<std::uint64_t> told(0);  // a number that was published is told afterwards
  for (int round = 0; round < 60; ++round) {
    std::deque<child> writers;
    for (int i = 0; i < 2; ++i) {
      writers.emplace_back([&](const talk&) {
        for (;;) {
          const wide now = value.update([](const wide& w) { return filled(w.words[0] + 1); });
          if (!is_whole(now)) return 1;
          told.update([&](std::uint64_t t) { return std::max(t, now.words[0]); });
        }
      });
    }
    const std::uint64_t target = value.load().words[0] + 1 + choose.below(2000);
    std::uint64_t last = 0;
    while (last < target) {
      const std::uint64_t at_least = told.load();
      const wide seen = value.load();
      ASSERT_TRUE(is_whole(seen));
      ASSERT_GE(seen.words[0], last);
      ASSERT_GE(seen.words[0], at_least);
      last = seen.words[0];
    }
    writers[choose.below(2)].kill();
    ASSERT_TRUE(is_whole(value.load()));
    last = value.load().words[0];
    while (value.load().words[0] < last + 10) {  // the other one goes on
    }
  }
}

TEST(SharedValue, IsWaitedForBetweenProcesses) {
  const shared_value<int> ping(0);
  const shared_value<wide> pong(filled(0));
  constexpr int rounds = 200;
  child other([&](const talk&) {
    for (int i = 0; i < rounds; ++i) {
      ping.wait(i);
      pong.store(filled(static_cast<std::uint64_t>(i) + 1));
      pong.notify_all();
    }
    return 0;
  });
  for (int i = 0; i < rounds; ++i) {
    ping.store(i + 1);
    ping.notify_all();
    pong.wait(filled(static_cast<std::uint64_t>(i)));
  }
  EXPECT_EQ(other.exit_code(), 0);
}

TEST(SharedValue, WaitsForALimit) {
  const shared_value<int> value(1);
  EXPECT_TRUE(value.wait_for(2, std::chrono::nanoseconds::max()));
  EXPECT_FALSE(value.wait_for(1, std::chrono::nanoseconds(0)));
  EXPECT_FALSE(value.wait_for(1, std::chrono::nanoseconds::min()));
  EXPECT_FALSE(value.wait_for(1, std::chrono::milliseconds(1)));
}

// A change without a notification, as by a process that was killed in between, is found by the next look.
TEST(SharedValue, NeedsNoNotificationInTheEnd) {
  const shared_value<int> value(1);
  child waiter([&](const talk& parent) {
    parent.say();
    value.wait(1);
    return 0;
  });
  waiter.hear();
  waiter.until_asleep();
  value.store(2);
  EXPECT_EQ(waiter.exit_code(), 0);
}

TEST(SharedValue, WaitingKeepsAPoolRunning) {
  const shared_value<int> value(1);
  tutti::thread_pool pool(1);
  auto waits = pool.submit([&] { value.wait(1); });
  pool.submit([] {}).get();  // on the only worker, which has begun the other one before
  value.store(2);
  value.notify_all();
  waits.get();
}

TEST(SharedValue, OnALoopItWouldBlock) {
  const shared_value<int> value(1);
  tutti::run_loop loop;
  loop.post([&] {
    EXPECT_THROW(value.wait(1), tutti::would_block);
    loop.shutdown();
  });
  loop.run();
}

}  // namespace
