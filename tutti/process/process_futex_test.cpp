#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tutti/process/process_futex.hpp>
#include <tutti/process/shared_memory.hpp>

#include <new>
#include <utility>

namespace tutti::detail {
namespace {

using tutti_test::child;
using tutti_test::talk;
using time_point = std::chrono::steady_clock::time_point;

// Also through another mapping of the same memory.
TEST(ProcessFutex, WakesAcrossProcesses) {
  const shared_memory memory(sizeof(std::atomic<std::uint32_t>), "a test");
  auto& word = *::new (memory.data()) std::atomic<std::uint32_t>(0);
  child sleeper([&](const talk& parent) {
    const shared_memory mine(unique_fd(::dup(memory.fd())), "a test");
    const auto& same = *std::launder(reinterpret_cast<std::atomic<std::uint32_t>*>(mine.data()));
    parent.say();
    while (same.load() == 0) process_futex_wait(same, 0, time_point::max());  // nothing else wakes it
    return 0;
  });
  sleeper.hear();
  sleeper.until_asleep();
  word.store(1);
  process_futex_wake(word, 1);
  EXPECT_EQ(sleeper.exit_code(), 0);
}

TEST(ProcessFutex, DoesNotSleepOverAChangeOrBeyondItsTime) {
  const std::atomic<std::uint32_t> word{1};
  process_futex_wait(word, 0, time_point::max());
  process_futex_wait(word, 1, time_point::min());
  process_futex_wait(word, 1, std::chrono::steady_clock::now() + std::chrono::milliseconds(1));
}

TEST(ProcessFutex, LimitsDoNotOverflow) {
  EXPECT_EQ(machine_time_after(std::chrono::nanoseconds::max()), time_point::max());
  EXPECT_LE(machine_time_after(std::chrono::nanoseconds::min()), std::chrono::steady_clock::now());
  EXPECT_GT(machine_time_after(std::chrono::hours(1)), std::chrono::steady_clock::now());
}

}  // namespace
}  // namespace tutti::detail
