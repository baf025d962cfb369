// Shared values, arrays, locks and semaphores whose users are killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <tests/support/choices.hpp>
#include <tests/support/programs.hpp>
#include <thread>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_shared {

struct twins {
  long a = 0, b = 0, c = 0;
  friend bool operator==(const twins&, const twins&) = default;
};

void count_to(tutti::shared_value<int> sum, int times) {
  for (int i = 0; i < times; ++i) sum.fetch_add(1);
}
void count_by_update(tutti::shared_value<int> sum, int times) {
  for (int i = 0; i < times; ++i) sum.update([](int n) { return n + 1; });
}
void count_twins(tutti::shared_value<twins> sum, int times) {
  for (int i = 0; i < times; ++i) sum.update([](const twins& t) { return twins{t.a + 1, t.b + 1, t.c + 1}; });
}
void count_under(tutti::process_mutex lock, tutti::shared_array<long> sum, int times) {
  for (int i = 0; i < times; ++i) {
    const std::lock_guard held(lock);
    ++sum[0];
  }
}
void for_ever(tutti::shared_value<twins> sum) {
  for (;;) count_twins(sum, 1000);
}
void dies_in_update(tutti::shared_value<twins> sum, int signal) {
  sum.update([signal](const twins&) {
    ::signal(signal, SIG_DFL);  // sanitizers have handlers
    ::raise(signal);
    return twins{-1, -1, -1};
  });
}
void lock_and_die(tutti::process_mutex lock, int way) {
  lock.lock();
  if (way == 0) ::raise(SIGKILL);
  if (way == 1) ::_exit(0);
  if (way == 2) std::exit(0);
  if (way == 3) std::abort();
  // or it just ends
}
void lock_and_tell(tutti::process_mutex lock, tutti::shared_value<int> told) {
  lock.lock();
  told.store(1);
  told.notify_all();
  for (;;) ::pause();
}
void wait_for_lock(tutti::process_mutex lock, tutti::shared_value<int> told) {
  told.store(1);
  told.notify_all();
  lock.lock();
}
void repair_and_die(tutti::process_mutex lock) {
  static_cast<void>(lock.lock_to_repair());
  ::raise(SIGKILL);
}
void take_and_die(tutti::process_semaphore permits, int n, int way) {
  for (int i = 0; i < n; ++i) permits.acquire();
  if (way == 0) ::raise(SIGKILL);
  if (way == 1) ::_exit(0);
  if (way == 2) std::exit(0);
}
void take_and_tell(tutti::process_semaphore permits, tutti::shared_value<int> told) {
  permits.acquire();
  told.store(1);
  told.notify_all();
  for (;;) ::pause();
}
void take_give_die(tutti::process_semaphore permits) {
  permits.acquire();
  permits.release();
  ::raise(SIGKILL);
}
void give_ours(tutti::process_semaphore permits) { permits.release(); }
void fill_and_die(tutti::shared_array<int> numbers) {
  for (int& n : numbers) n = 7;
  ::raise(SIGKILL);
}
void change_and_tell(tutti::shared_value<int> value, tutti::shared_value<int> go) {
  go.wait(0);
  value.store(1);
  value.notify_all();
}
void change_and_die(tutti::shared_value<int> value) {
  value.store(1);
  ::raise(SIGKILL);
}
void wait_for_change(tutti::shared_value<int> value) { value.wait(0); }

}  // namespace spec_shared

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_shared;
using testing::HasSubstr;

class SpecShared : public tutti_test::tidy_test {
 protected:
  static void SetUpTestSuite() { process(fn<count_to>, shared_value<int>(0), 1).join(); }
};

template <class Function, class... A>
void four(Function f, const A&... arguments) {
  std::vector<process> all;
  for (int i = 0; i < 4; ++i) {
    all.emplace_back(process_options{.start = i % 2 == 0 ? start_method::fork : start_method::exec}, f, arguments...);
  }
  for (process& p : all) EXPECT_TRUE(p.join().success());
}

TEST_F(SpecShared, FourTimesAThousand) {
  const shared_value<int> sum(0), updated(0);
  four(fn<count_to>, sum, 1000);
  EXPECT_EQ(sum.load(), 4000);
  four(fn<count_by_update>, updated, 1000);
  EXPECT_EQ(updated.load(), 4000);
  const shared_value<twins> all(twins{});
  four(fn<count_twins>, all, 1000);
  EXPECT_EQ(all.load(), (twins{4000, 4000, 4000}));
  const shared_array<long> guarded(1);
  four(fn<count_under>, process_mutex("sum"), guarded, 1000);
  EXPECT_EQ(guarded[0], 4000);
}

TEST_F(SpecShared, ValueOfWhoDiesInUpdateIsUnchanged) {
  const shared_value<twins> value(twins{1, 2, 3});
  for (int signal : {SIGKILL, SIGABRT, SIGSEGV}) {
    EXPECT_EQ(process(fn<dies_in_update>, value, signal).join(), exit_status::killed(signal));
    EXPECT_EQ(value.load(), (twins{1, 2, 3}));
    EXPECT_EQ(value.update([](twins t) { return t; }), (twins{1, 2, 3}));
  }
  value.store(twins{4, 5, 6});
  EXPECT_EQ(value.exchange(twins{7, 8, 9}), (twins{4, 5, 6}));
  EXPECT_THROW(value.update([&](const twins&) -> twins { throw std::out_of_range("no"); }), std::out_of_range);
  EXPECT_THROW(value.update([&](const twins&) { return value.exchange(twins{}); }), deadlock);
  EXPECT_EQ(value.load(), (twins{7, 8, 9}));
}

TEST_F(SpecShared, ValueHasNoHalvesWhoeverIsKilled) {
  tutti_test::choices choose(71);
  const shared_value<twins> value(twins{});
  long before = 0;
  for (int round = 0; round < 30; ++round) {
    process p({.daemon = true}, fn<for_ever>, value);
    process q({.daemon = true}, fn<for_ever>, value);
    const long until = before + 1 + choose.below(3000);
    while (value.load().a < until) {
    }
    p.kill();
    q.kill();
    p.join();
    q.join();
    const twins now = value.load();
    EXPECT_EQ(now.a, now.b);
    EXPECT_EQ(now.b, now.c);
    before = value.update([](const twins& t) { return twins{t.a + 1, t.b + 1, t.c + 1}; }).a;
    EXPECT_EQ(before, now.a + 1);
  }
}

TEST_F(SpecShared, ValueIsWaitedFor) {
  const shared_value<int> value(0), go(0);
  process p(fn<change_and_tell>, value, go);
  EXPECT_FALSE(value.wait_for(0, 1ms));
  EXPECT_FALSE(value.wait_for(0, -1s));
  go.store(1);
  go.notify_all();
  value.wait(0);
  EXPECT_EQ(value.load(), 1);
  // Killed before it could say so: who waits looks again by itself.
  const shared_value<int> other(0);
  process waits(fn<wait_for_change>, other);
  tutti_test::until_asleep(waits.pid());
  EXPECT_FALSE(process(fn<change_and_die>, other).join().success());
  EXPECT_TRUE(waits.join(tutti_test::hang).has_value());
}

TEST_F(SpecShared, ArrayOutlivesWhoIsKilled) {
  const shared_array<int> numbers(100'000);
  EXPECT_FALSE(process(fn<fill_and_die>, numbers).join().success());
  for (int n : numbers) ASSERT_EQ(n, 7);
}

TEST_F(SpecShared, ArraysOfTheKilledAreGone) {
  const auto mapped = [] {
    std::ifstream in("/proc/self/maps");
    int count = 0;
    for (std::string line; std::getline(in, line);) count += line.find("memfd:") != std::string::npos ? 1 : 0;
    return count;
  };
  process_pool pool(1);
  const auto round = [&pool] {
    const shared_array<int> numbers(50'000);
    EXPECT_THROW(pool.submit<fill_and_die>(numbers).get(), worker_lost);
    EXPECT_EQ(numbers[49'999], 7);
  };
  for (int i = 0; i < 10; ++i) round();
  const int maps = mapped(), descriptors = tutti_test::open_descriptors();
  for (int i = 0; i < 50; ++i) round();
  EXPECT_LE(tutti_test::settled_descriptors(descriptors), descriptors);
  EXPECT_LE(mapped(), maps);
}

TEST_F(SpecShared, NextOwnerOfALockIsToldOnce) {
  const process_mutex lock("ledger");
  for (int way = 0; way < 5; ++way) {
    process({.err = stdio::null()}, fn<lock_and_die>, lock, way).join();
    switch (way) {
      case 0:
        try {
          lock.lock();
          ADD_FAILURE() << "nothing was thrown";
        } catch (const owner_lost& e) {
          EXPECT_THAT(e.what(), HasSubstr("ledger"));
        }
        break;
      case 1: EXPECT_THROW(static_cast<void>(lock.try_lock()), owner_lost); break;
      case 2: EXPECT_THROW(static_cast<void>(lock.lock_for(1s)), owner_lost); break;
      case 3: {
        EXPECT_FALSE(process(fn<repair_and_die>, lock).join().success());
        EXPECT_TRUE(lock.lock_to_repair());  // who ends before it is through leaves it so
        lock.unlock();
        break;
      }
      default: {
        EXPECT_TRUE(lock.lock_to_repair());
        lock.unlock();
      }
    }
    ASSERT_TRUE(lock.try_lock()) << way;  // once
    lock.unlock();
    EXPECT_FALSE(lock.lock_to_repair());
    lock.unlock();
  }
}

TEST_F(SpecShared, WaiterForALockIsToldAtOnce) {
  const process_mutex lock("gate");
  const shared_value<int> told(0);
  process p(fn<lock_and_tell>, lock, told);
  told.wait(0);
  EXPECT_FALSE(lock.try_lock());
  EXPECT_FALSE(lock.lock_for(1ms));
  std::jthread killer([&p] {
    tutti_test::until_asleep(p.pid());
    p.kill();
  });
  EXPECT_THROW(lock.lock(), owner_lost);
  killer.join();
  EXPECT_EQ(p.join(), exit_status::killed(SIGKILL));
  // Who waits and is killed does not disturb.
  lock.lock();
  const shared_value<int> waits(0);
  process q(fn<wait_for_lock>, lock, waits);
  waits.wait(0);
  tutti_test::until_asleep(q.pid());
  q.kill();
  q.join();
  lock.unlock();
  EXPECT_TRUE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock());
  EXPECT_THROW(lock.lock(), deadlock);
  std::jthread([&lock] { EXPECT_THROW(lock.unlock(), not_owner); }).join();
  lock.unlock();
  EXPECT_THROW(lock.unlock(), not_owner);
  std::jthread([&lock] { lock.lock(); }).join();  // a thread that ends with it
  EXPECT_THROW(lock.lock(), owner_lost);
}

TEST_F(SpecShared, PermitsOfTheDeadComeBack) {
  const process_semaphore permits(3, "desks");
  for (int way = 0; way < 4; ++way) {
    process(fn<take_and_die>, permits, 3, way).join();
    EXPECT_THROW(permits.acquire(), owner_lost) << way;  // has found none left
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(permits.try_acquire()) << way;
    EXPECT_FALSE(permits.try_acquire());
    EXPECT_FALSE(permits.acquire_for(1ms));
    EXPECT_EQ(permits.value(), 0);
    EXPECT_FALSE(process({.err = stdio::null()}, fn<give_ours>, permits).join().success());  // not_owner
    permits.release(3);
    EXPECT_THROW(permits.release(), not_owner);
    EXPECT_EQ(permits.value(), 3);
  }
  EXPECT_FALSE(process(fn<take_give_die>, permits).join().success());
  EXPECT_EQ(permits.value(), 3);
  for (int i = 0; i < 3; ++i) permits.acquire();  // nothing was lost with it
  permits.release(3);
}

TEST_F(SpecShared, WaiterForAPermitIsTold) {
  const process_semaphore permits(1, "desk");
  const shared_value<int> told(0);
  process p(fn<take_and_tell>, permits, told);
  told.wait(0);
  std::jthread killer([&p] { p.kill(); });
  try {
    permits.acquire();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const owner_lost& e) {
    EXPECT_THAT(e.what(), HasSubstr("desk"));
  }
  permits.acquire();
  permits.release();
}

}  // namespace
}  // namespace tutti
