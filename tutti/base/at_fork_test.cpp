// Locks held while the process forks.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <tests/support/forks.hpp>
#include <thread>
#include <tutti/base/at_fork.hpp>
#include <tutti/base/function.hpp>
#include <tutti/base/log.hpp>
#include <vector>

namespace at_fork_test {

int twice(int n) { return 2 * n; }

}  // namespace at_fork_test

namespace {

using tutti_test::in_child;
using tutti_test::in_child_forked_inside;

TEST(AtFork, AChildFindsTheLocksFree) {
  auto& plain = tutti::held_at_fork(*new std::mutex);
  auto& shared = tutti::held_at_fork(*new std::shared_mutex);
  std::atomic<bool> over{false};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!over) {
        {
          const std::lock_guard lock(plain);
        }
        const std::shared_lock lock(shared);
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(in_child([&] {
                if (!plain.try_lock() || !shared.try_lock()) return 1;
                tutti::log(tutti::log_level::debug, "from the child");
                return 0;
              }),
              0);
    // The parent's are free as well.
    {
      const std::lock_guard lock(plain);
    }
    const std::lock_guard lock(shared);
  }
  over = true;
}

TEST(AtFork, ACountTellsAChildFromItsParent) {
  tutti::held_at_fork(*new std::mutex);
  const auto here = tutti::forks_before_this_process();
  EXPECT_EQ(in_child([here] { return tutti::forks_before_this_process() == here + 1 ? 0 : 1; }), 0);
  EXPECT_EQ(tutti::forks_before_this_process(), here);
}

// The first use of anything, half done by a thread that is not in the child, must not keep the child from using it.
TEST(AtFork, AnotherThreadNamesAFunctionForTheFirstTime) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  const auto name = [] { return tutti::identity<at_fork_test::twice>().name; };
  EXPECT_EQ(in_child_forked_inside(name, [&] { return name() == "at_fork_test::twice" ? 0 : 1; }), 0);
}

}  // namespace
