// recursive_mutex: its owner locks again, and unlocks as often.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <tests/support/watchdog.hpp>
#include <thread>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/sync/recursive_mutex.hpp>

namespace {

// Branches of one task run at the same time, so a lock that one of them holds is not the other's.
TEST(RecursiveMutex, BranchesOfATaskAreSeveralOwners) {
  const tutti_test::watchdog dog;
  std::atomic<bool> locked{false}, tried{false};
  tutti::thread_pool pool(2);
  tutti::recursive_mutex lock;
  bool taken = true;
  pool.submit([&] {
        tutti::fork_join(
            [&] {
              lock.lock();
              locked = true;
              while (!tried) std::this_thread::yield();
              lock.unlock();
            },
            [&] {
              while (!locked) std::this_thread::yield();
              taken = lock.try_lock();
              tried = true;
            });
      })
      .get();
  EXPECT_FALSE(taken);
}

using namespace std::chrono_literals;
using tutti::recursive_mutex;

bool is_free(recursive_mutex& m) {
  bool got = false;
  std::thread([&] {
    got = m.try_lock();
    if (got) m.unlock();
  }).join();
  return got;
}

TEST(RecursiveMutex, TheOwnerLocksAgain) {
  recursive_mutex m("tree");
  std::stop_source stopped;
  stopped.request_stop();
  m.lock();
  EXPECT_TRUE(m.try_lock());
  EXPECT_TRUE(m.lock_for(0s));
  m.lock(stopped.get_token());
  EXPECT_EQ(m.depth(), 4U);
  for (std::uint32_t left = 3; left != 0; --left) {
    m.unlock();
    EXPECT_EQ(m.depth(), left);
    EXPECT_FALSE(is_free(m));
  }
  m.unlock();
  EXPECT_EQ(m.depth(), 0U);
  EXPECT_TRUE(is_free(m));
  EXPECT_THROW(m.unlock(), tutti::not_owner);
}

TEST(RecursiveMutex, ATaskLocksAgainAnotherDoesNot) {
  recursive_mutex m;
  tutti::thread_pool pool(1);
  pool.submit([&] {
        const std::lock_guard outer(m), inner(m);
        EXPECT_EQ(m.depth(), 2U);
        auto other = pool.submit([&] {
          EXPECT_FALSE(m.try_lock());
          EXPECT_EQ(m.depth(), 0U);
          EXPECT_THROW(m.unlock(), tutti::not_owner);
        });
        other.get();  // on this very thread
        EXPECT_EQ(m.depth(), 2U);
      })
      .get();
  EXPECT_TRUE(is_free(m));
}

}  // namespace
