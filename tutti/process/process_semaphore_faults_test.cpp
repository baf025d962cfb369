// A process_semaphore whose users die or find no memory while they tell of others, and one that was written to.
#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tests/support/choices.hpp>
#include <tests/support/killed_at.hpp>
#include <tests/support/no_memory.hpp>
#include <tutti/process/process_semaphore.hpp>

#include <tutti/base/error.hpp>

#include <new>
#include <string>

namespace {

using tutti::process_semaphore;
using tutti_test::child;
using tutti_test::talk;
using namespace std::chrono_literals;

// The dead are not looked for again for a moment.
bool until_told(const process_semaphore& permits) {
  for (int i = 0; i < 10'000; ++i) {
    try {
      if (permits.acquire_for(1ms)) return false;
    } catch (const tutti::owner_lost&) {
      return true;
    }
  }
  return false;
}

// One permit, whose owner is dead.
process_semaphore orphan(std::string_view name = {}) {
  process_semaphore permits(1, name);
  child holder([&](const talk&) {
    permits.acquire();
    return 0;
  });
  EXPECT_EQ(holder.join(), 0);
  return permits;
}

// Killed before it has given the permit back, or while it makes the words.
TEST(ProcessSemaphoreFaults, TellsTheNextWhenWhoLooksForTheDeadDies) {
  constexpr int points = 15, apart = 25, too_many = 100'000;
  tutti_test::choices choose(46);
  const auto looks = [](const process_semaphore& permits) { static_cast<void>(permits.try_acquire()); };
  int until_back = 0;  // steps until the permit is there again
  for (int i = 0; i <= 2 * points; ++i) {
    const process_semaphore permits = orphan();
    tutti_test::stepped finder([&] { static_cast<void>(process_semaphore(1).try_acquire()); }, [&] { looks(permits); });
    if (i == 0) {
      while (permits.value() == 0 && until_back < too_many && finder.step()) ++until_back;
      ASSERT_GT(until_back, 10);
      ASSERT_LT(until_back, too_many);
    } else {
      const int point = i <= points ? static_cast<int>(choose.below(static_cast<unsigned>(until_back)))
                                    : until_back + apart * (i - points);
      for (int step = 0; step < point; ++step) ASSERT_TRUE(finder.step());
    }
    finder.kill();
    ASSERT_TRUE(until_told(permits)) << "point " << i;
    ASSERT_EQ(permits.value(), 1);
    ASSERT_TRUE(permits.try_acquire()) << "told once is enough";
    permits.release();
  }
}

TEST(ProcessSemaphoreFaults, TellsTheNextWhenThereIsNoMemoryToTell) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer itself needs memory";
#endif
  const process_semaphore permits = orphan(std::string(63, 'n'));
  child finder([&](const talk&) {
    tutti_test::use_up_memory();
    try {
      static_cast<void>(permits.try_acquire());
    } catch (const std::bad_alloc&) {
      return 0;
    }
    return 1;
  });
  EXPECT_EQ(finder.join(), 0);
  EXPECT_TRUE(until_told(permits));
  EXPECT_TRUE(permits.try_acquire());
  permits.release();
}

}  // namespace
