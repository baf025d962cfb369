// Awaiting what other libraries offer: any awaitable, resumed from anywhere, with errors from each of its hooks.
#include <gtest/gtest.h>

#include <atomic>
#include <coroutine>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::sync_wait;
using tutti::task;
using tutti_test::end_of;
using tutti_test::living;
using tutti_test::watchdog;

enum class hook { none, ready, suspend, resume };

// An awaiter that throws where it is told, after having suspended or not.
template <class Suspend>
class throwing {
 public:
  throwing(hook where, bool ready, std::atomic<int>& alive) : where_(where), ready_(ready), me_(alive) {}
  bool await_ready() const {
    if (where_ == hook::ready) throw std::runtime_error("from await_ready");
    return ready_;
  }
  Suspend await_suspend(std::coroutine_handle<> h) {
    if (where_ == hook::suspend) throw std::runtime_error("from await_suspend");
    if constexpr (std::is_void_v<Suspend>) {
      thread_ = std::jthread([h] { h.resume(); });
    } else if constexpr (std::is_same_v<Suspend, bool>) {
      return false;
    } else {
      return h;
    }
  }
  int await_resume() {
    if (where_ == hook::resume) throw std::runtime_error("from await_resume");
    return 5;
  }

 private:
  hook where_;
  bool ready_;
  living me_;
  std::jthread thread_;
};

template <class Suspend>
task<int> await_throwing(hook where, bool ready, std::atomic<int>& alive) {
  throwing<Suspend> awaiter(where, ready, alive);
  const int got = co_await awaiter;
  co_return got;
}

template <class Suspend>
void each_hook_throws() {
  const watchdog dog;
  std::atomic<int> alive{0};
  for (const bool ready : {false, true}) {
    for (const auto& [where, end] : {std::pair(hook::none, "value"),
                                     {hook::ready, "from await_ready"},
                                     {hook::suspend, ready ? "value" : "from await_suspend"},
                                     {hook::resume, "from await_resume"}}) {
      const hook at = where;
      auto body = [&, at]() -> task<std::string> {
        co_return co_await end_of([&] { return await_throwing<Suspend>(at, ready, alive); });
      };
      EXPECT_EQ(sync_wait(body()), end) << "ready: " << ready;
      EXPECT_EQ(alive, 0);
    }
  }
}

TEST(foreign_await, errors_from_each_hook_when_it_suspends_for_sure) { each_hook_throws<void>(); }
TEST(foreign_await, errors_from_each_hook_when_it_changes_its_mind) { each_hook_throws<bool>(); }
TEST(foreign_await, errors_from_each_hook_when_it_transfers) { each_hook_throws<std::coroutine_handle<>>(); }

TEST(foreign_await, an_error_from_a_hook_is_an_ordinary_one) {
  const watchdog dog;
  std::atomic<int> alive{0};
  auto body = [&]() -> task<int> {
    int caught = 0;
    for (const hook where : {hook::ready, hook::suspend, hook::resume}) {
      throwing<bool> awaiter(where, false, alive);
      try {
        static_cast<void>(co_await awaiter);
      } catch (const std::runtime_error&) {
        ++caught;
      }
      co_await tutti::yield_now();  // the coroutine goes on as if nothing had been
    }
    co_return caught;
  };
  EXPECT_EQ(sync_wait(body()), 3);
}

// Resumed by a thread of its own.
struct on_another_thread {
  std::jthread& thread;
  std::thread::id& resumer;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    thread = std::jthread([h, this] {
      resumer = std::this_thread::get_id();
      h.resume();
    });
  }
  void await_resume() const noexcept {}
};

TEST(foreign_await, the_coroutine_goes_on_on_its_own_executor) {
  const watchdog dog;
  std::jthread thread;
  std::thread::id resumer, before, after;
  auto body = [&]() -> task<> {
    before = std::this_thread::get_id();
    on_another_thread awaiter{thread, resumer};
    co_await awaiter;
    after = std::this_thread::get_id();
  };
  sync_wait(body());
  EXPECT_EQ(before, std::this_thread::get_id());
  EXPECT_EQ(after, before);
  EXPECT_NE(resumer, before);
}

TEST(foreign_await, on_a_pool_too) {
  const watchdog dog;
  tutti::thread_pool pool(1);
  const auto worker = pool.submit([] { return std::this_thread::get_id(); }).get();
  std::jthread thread;
  std::thread::id resumer;
  auto body = [&]() -> task<std::thread::id> {
    on_another_thread awaiter{thread, resumer};
    co_await awaiter;
    co_return std::this_thread::get_id();
  };
  EXPECT_EQ(pool.submit(body()).get(), worker);
  EXPECT_NE(resumer, worker);
}

// Resumed by somebody before await_suspend has returned, over and over.
TEST(foreign_await, resumed_at_once_by_another_thread) {
  const watchdog dog;
  auto body = []() -> task<int> {
    int sum = 0;
    for (int i = 0; i < 300; ++i) {
      std::jthread thread;
      std::thread::id resumer;
      on_another_thread awaiter{thread, resumer};
      co_await awaiter;
      sum += 1;
    }
    co_return sum;
  };
  EXPECT_EQ(sync_wait(body()), 300);
}

// With operator co_await, as a member and free, for rvalues and lvalues.
struct with_member {
  auto operator co_await() const noexcept {
    struct awaiter {
      bool await_ready() const noexcept { return false; }
      bool await_suspend(std::coroutine_handle<>) const noexcept { return false; }
      int await_resume() const noexcept { return 1; }
    };
    return awaiter();
  }
};
struct with_free {};
auto operator co_await(const with_free&) noexcept {
  struct awaiter {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    int await_resume() const noexcept { return 2; }
  };
  return awaiter();
}

TEST(foreign_await, operator_co_await_of_both_kinds_and_results_by_reference) {
  const watchdog dog;
  struct by_reference {
    int& to;
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    int& await_resume() const noexcept { return to; }
  };
  int target = 0;
  auto body = [&]() -> task<int> {
    with_member member;
    const with_free free;
    by_reference reference{target};
    int& same = co_await reference;
    same = 7;
    const int a = co_await member;
    const int b = co_await free;
    co_await std::suspend_never();
    co_return a + b;
  };
  EXPECT_EQ(sync_wait(body()), 3);
  EXPECT_EQ(target, 7);
}

// The promise of the task is visible to awaiters that ask for it by type.
struct asks_for_the_handle {
  bool ready = false;
  bool await_ready() const noexcept { return ready; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
    found = h.address() != nullptr && !h.done();
    return false;
  }
  bool await_resume() const noexcept { return found; }
  bool found = false;
};

TEST(foreign_await, generic_awaiters) {
  const watchdog dog;
  auto body = []() -> task<bool> {
    asks_for_the_handle awaiter;
    const bool found = co_await awaiter;
    co_return found;
  };
  EXPECT_TRUE(sync_wait(body()));
}

TEST(foreign_await, a_stop_does_not_leave_it_half_way) {
  const watchdog dog;
  std::atomic<bool> suspended{false};
  std::atomic<int> alive{0};
  tutti::thread_pool pool(1);
  std::coroutine_handle<> parked;
  struct parking {
    std::coroutine_handle<>& at;
    std::atomic<bool>& suspended;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) noexcept {
      at = h;
      suspended = true;
    }
    void await_resume() const noexcept {}
  };
  auto body = [&]() -> task<int> {
    const living me(alive);
    parking awaiter{parked, suspended};
    co_await awaiter;
    co_return 1;
  };
  auto f = pool.submit(body());
  while (!suspended) std::this_thread::yield();
  EXPECT_FALSE(f.cancel());
  EXPECT_FALSE(f.done()) << "nobody may resume it but the one it was given to";
  EXPECT_EQ(alive, 1);
  parked.resume();
  const std::string end = tutti_test::end_of_future(std::move(f));
  EXPECT_TRUE(end == "value" || end == "cancelled") << end;
  EXPECT_EQ(alive, 0);
}

}  // namespace
