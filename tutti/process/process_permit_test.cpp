#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/round_trip.hpp>
#include <tutti/process/process_semaphore.hpp>

#include <utility>

namespace {

using tutti::process_permit;
using tutti::process_semaphore;
using tutti_test::child;
using tutti_test::round_trip;
using tutti_test::talk;
using namespace std::chrono_literals;

TEST(ProcessPermit, GoesBackByItself) {
  const process_semaphore permits(2);
  {
    const process_permit one = permits.acquire_permit();
    EXPECT_TRUE(one);
    process_permit two = permits.try_acquire_permit();
    EXPECT_EQ(permits.value(), 0);
    EXPECT_FALSE(permits.try_acquire_permit());
    EXPECT_FALSE(permits.acquire_permit_for(0ns));
    process_permit moved = std::move(two);
    EXPECT_FALSE(two);  // NOLINT(bugprone-use-after-move): it is empty
    moved = permits.try_acquire_permit();
    EXPECT_FALSE(moved);
    EXPECT_EQ(permits.value(), 1);
    moved = permits.acquire_permit_for(1h);
    EXPECT_EQ(permits.value(), 0);
    moved.release();
    moved.release();
    EXPECT_EQ(permits.value(), 1);
  }
  EXPECT_EQ(permits.value(), 2);
  EXPECT_FALSE(process_permit());
}

// The last handle of this process may be the guard's own.
TEST(ProcessPermit, IsNotTheForkedChilds) {
  process_semaphore permits(1);
  const process_semaphore same = round_trip(permits);
  auto held = permits.acquire_permit();
  permits = process_semaphore();
  child forked([&](const talk&) {
    if (held) return 1;
    held.release();
    return same.value() == 0 ? 0 : 2;
  });
  EXPECT_EQ(forked.join(), 0);
  EXPECT_TRUE(held);
  held.release();
  EXPECT_EQ(same.value(), 1);
}

// By whatever way out.
TEST(ProcessPermit, GoesBackWhenSomethingIsThrown) {
  const process_semaphore permits(1);
  EXPECT_THROW(
      {
        const process_permit held = permits.acquire_permit();
        throw 1;
      },
      int);
  EXPECT_EQ(permits.value(), 1);
}

TEST(ProcessPermitDeathTest, MustNotBeGivenBackTwice) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const process_semaphore permits(1, "twice");
        const process_permit held = permits.acquire_permit();
        permits.release();
      },
      "release of 1 by process");
}

}  // namespace
