// The forms in which every lock is taken, and what misuse says: the same for mutex, recursive_mutex and shared_mutex.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <sstream>
#include <stop_token>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/core/run_loop.hpp>
#include <tutti/sync/mutex.hpp>
#include <tutti/sync/recursive_mutex.hpp>
#include <tutti/sync/shared_mutex.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti_test::until;
using tutti_test::waiting_for;
using tutti_test::watchdog;

template <class Lock>
struct kind;
template <>
struct kind<tutti::mutex> {
  static constexpr const char* name = "mutex";
};
template <>
struct kind<tutti::recursive_mutex> {
  static constexpr const char* name = "recursive_mutex";
};
template <>
struct kind<tutti::shared_mutex> {
  static constexpr const char* name = "shared_mutex";
};

template <class Lock>
class lock_forms : public testing::Test {
  watchdog dog_;

 protected:
  Lock lock{std::string_view("accounts")};
  static void until_waits(const char* form, int n = 1) {
    std::ostringstream what;
    what << kind<Lock>::name << "::" << form;
    until([&] { return waiting_for(what.str()) == n; });
  }
  // Whether another thread finds it free.
  bool is_free() {
    bool got = false;
    std::thread([&] {
      got = lock.try_lock();
      if (got) lock.unlock();
    }).join();
    return got;
  }
  template <class Act>
  static std::string error_of(Act act) {
    try {
      act();
    } catch (const std::exception& e) {
      return e.what();
    }
    return "nothing";
  }
};
using kinds = testing::Types<tutti::mutex, tutti::recursive_mutex, tutti::shared_mutex>;
TYPED_TEST_SUITE(lock_forms, kinds);

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TYPED_TEST(lock_forms, is_free_when_born_and_when_unlocked) {
  EXPECT_TRUE(this->is_free());
  this->lock.lock();
  EXPECT_FALSE(this->is_free());
  this->lock.unlock();
  EXPECT_TRUE(this->is_free());
  EXPECT_EQ(this->lock.name(), "accounts");
}

TYPED_TEST(lock_forms, is_made_before_main) {
  static constinit TypeParam early;
  EXPECT_TRUE(early.try_lock());
  early.unlock();
}

TYPED_TEST(lock_forms, serves_the_guards_of_the_standard_library) {
  {
    const std::lock_guard guard(this->lock);
    EXPECT_FALSE(this->is_free());
  }
  {
    std::unique_lock guard(this->lock, std::try_to_lock);
    EXPECT_TRUE(guard.owns_lock());
    guard.unlock();
    EXPECT_TRUE(this->is_free());
    guard.lock();
  }
  TypeParam other;
  {
    const std::scoped_lock both(this->lock, other);
    EXPECT_FALSE(this->is_free());
  }
  EXPECT_TRUE(this->is_free());
}

TYPED_TEST(lock_forms, is_released_by_an_exception) {
  EXPECT_THROW(
      {
        const std::lock_guard guard(this->lock);
        throw std::runtime_error("on purpose");
      },
      std::runtime_error);
  EXPECT_TRUE(this->is_free());
}

TYPED_TEST(lock_forms, lock_waits_for_the_unlock) {
  this->lock.lock();
  std::atomic<bool> in{false};
  std::jthread other([&] {
    const std::lock_guard guard(this->lock);
    in = true;
  });
  this->until_waits("lock");
  EXPECT_FALSE(in);
  this->lock.unlock();
  other.join();
  EXPECT_TRUE(in);
}

TYPED_TEST(lock_forms, all_who_wait_come_in_one_by_one) {
  this->lock.lock();
  int inside = 0, passed = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 5; ++i) {
      threads.emplace_back([&] {
        const std::lock_guard guard(this->lock);
        EXPECT_EQ(++inside, 1);
        ++passed;
        --inside;
      });
    }
    this->until_waits("lock", 5);
    this->lock.unlock();
  }
  EXPECT_EQ(passed, 5);
}

TYPED_TEST(lock_forms, lock_for_nothing_or_less_is_a_try) {
  EXPECT_TRUE(this->lock.lock_for(0s));
  std::thread([&] {
    EXPECT_FALSE(this->lock.lock_for(0s));
    EXPECT_FALSE(this->lock.lock_for(-5s));
    EXPECT_FALSE(this->lock.lock_for(std::chrono::nanoseconds::min()));
  }).join();
  this->lock.unlock();
  EXPECT_TRUE(this->lock.lock_for(-1s));
  this->lock.unlock();
}

TYPED_TEST(lock_forms, lock_for_gives_up_at_its_time) {
  tutti::virtual_clock clock;
  this->lock.lock();
  std::atomic<bool> over{false}, got{true};
  std::jthread other([&] {
    got = this->lock.lock_for(10s);
    over = true;
  });
  this->until_waits("lock_for");
  clock.advance(9s);
  EXPECT_FALSE(over);
  clock.advance(1s);
  other.join();
  EXPECT_FALSE(got);
  this->lock.unlock();
  EXPECT_TRUE(this->is_free()) << "who gave up left nothing behind";
}

TYPED_TEST(lock_forms, lock_for_gets_it_in_time_and_without_limit) {
  tutti::virtual_clock clock;
  for (const std::chrono::nanoseconds limit : {std::chrono::nanoseconds(10s), std::chrono::nanoseconds::max()}) {
    this->lock.lock();
    std::atomic<bool> got{false};
    std::jthread other([&] {
      got = this->lock.lock_for(limit);
      if (got) this->lock.unlock();
    });
    this->until_waits("lock_for");
    clock.advance(9s);
    this->lock.unlock();
    other.join();
    EXPECT_TRUE(got);
  }
}

TYPED_TEST(lock_forms, a_stop_ends_the_wait) {
  this->lock.lock();
  std::string error;
  std::jthread other([&](const std::stop_token& stop) {
    EXPECT_THROW(this->lock.lock(stop), tutti::cancelled);
    error = this->error_of([&] { this->lock.lock(stop); });
  });
  this->until_waits("lock");
  other.request_stop();
  other.join();
  EXPECT_TRUE(says(error, "\"accounts\"")) << error;
  EXPECT_TRUE(says(error, "lock_forms_test.cpp")) << error;
  this->lock.unlock();
  EXPECT_TRUE(this->is_free());
}

TYPED_TEST(lock_forms, what_need_not_wait_is_not_stopped) {
  std::stop_source stop;
  stop.request_stop();
  this->lock.lock(stop.get_token());
  EXPECT_FALSE(this->is_free());
  this->lock.unlock();
}

TYPED_TEST(lock_forms, belongs_to_the_task_not_to_the_thread) {
  tutti::thread_pool pool(1);
  pool.submit([&] {
        this->lock.lock();
        auto below = pool.submit([&] { EXPECT_THROW(this->lock.unlock(), tutti::not_owner) << "another task"; });
        below.get();
        this->lock.unlock();
      })
      .get();
  EXPECT_TRUE(this->is_free());
}

TYPED_TEST(lock_forms, a_coroutine_unlocks_what_it_locked_on_another_thread) {
  tutti::thread_pool pool(1), other(1);
  auto body = [&]() -> tutti::task<> {
    this->lock.lock();
    co_await tutti::resume_on(other);
    EXPECT_FALSE(this->is_free());
    this->lock.unlock();
  };
  pool.submit(body()).get();
  EXPECT_TRUE(this->is_free());
}

TYPED_TEST(lock_forms, unlocking_what_nobody_holds_is_refused) {
  EXPECT_THROW(this->lock.unlock(), tutti::not_owner);
  const std::string error = this->error_of([&] { this->lock.unlock(); });
  EXPECT_TRUE(says(error, std::string(kind<TypeParam>::name) + " \"accounts\"")) << error;
  EXPECT_TRUE(says(error, "nobody holds it")) << error;
  this->lock.lock();
  this->lock.unlock();
  EXPECT_THROW(this->lock.unlock(), tutti::not_owner) << "twice";
}

TYPED_TEST(lock_forms, a_stranger_cannot_unlock) {
  this->lock.lock();
  std::thread([&] {
    const std::string error = this->error_of([&] { this->lock.unlock(); });
    EXPECT_TRUE(says(error, "this thread")) << error;
    EXPECT_TRUE(says(error, "another task or thread holds it")) << error;
  }).join();
  EXPECT_FALSE(this->is_free());
  this->lock.unlock();
}

TYPED_TEST(lock_forms, waiting_on_a_loops_thread_is_refused) {
  tutti::run_loop loop;
  this->lock.lock();
  std::string error;
  loop.post([&] {
    EXPECT_FALSE(this->lock.try_lock());
    EXPECT_FALSE(this->lock.lock_for(0s));
    EXPECT_THROW(this->lock.lock(), tutti::would_block);
    error = this->error_of([&] { this->lock.lock(); });
    EXPECT_THROW(static_cast<void>(this->lock.lock_for(1s)), tutti::would_block);
  });
  std::thread([&] { loop.shutdown(); }).join();
  EXPECT_TRUE(says(error, "lock_async()")) << error;
  this->lock.unlock();
  EXPECT_TRUE(this->is_free()) << "who was refused left nothing behind";
}

TYPED_TEST(lock_forms, a_pool_goes_on_while_its_worker_waits) {
  tutti::thread_pool pool(1);
  this->lock.lock();
  auto blocked = pool.submit([&] {
    this->lock.lock();
    this->lock.unlock();
  });
  this->until_waits("lock");
  EXPECT_EQ(pool.submit([] { return 3; }).get(), 3);
  this->lock.unlock();
  blocked.get();
}

TEST(lock_death_test, destroyed_while_locked) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        tutti::mutex m("accounts");
        m.lock();
      },
      "tutti: fatal: mutex \"accounts\" destroyed while it is locked");
  EXPECT_DEATH(
      {
        tutti::recursive_mutex m;
        m.lock();
      },
      "tutti: fatal: recursive_mutex destroyed while it is locked");
  EXPECT_DEATH(
      {
        tutti::shared_mutex m("config");
        m.lock_shared();
      },
      "tutti: fatal: shared_mutex \"config\" destroyed while it is locked by readers");
}

TEST(lock_death_test, destroyed_while_waited_for) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        std::vector<std::jthread> threads;
        tutti::mutex m("accounts");
        m.lock();
        for (int i = 0; i < 2; ++i) threads.emplace_back([&] { m.lock(); });
        until([] { return waiting_for("mutex::lock") == 2; });
      },
      "tutti: fatal: mutex \"accounts\" destroyed while 2 wait for it");
}

}  // namespace
