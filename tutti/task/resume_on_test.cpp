// resume_on: one coroutine goes elsewhere; who awaits it does not.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tests/support/tasks.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::resume_on;
using tutti::sleep_for;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::thread_pool;
using tutti::yield_now;
using tutti_test::end_of;
using tutti_test::end_of_future;
using tutti_test::living;

std::thread::id here() { return std::this_thread::get_id(); }

class resuming : public tutti_test::virtual_time {
 protected:
  thread_pool pool{1}, other{1};
  const std::thread::id main = here();
  const std::thread::id worker = pool.submit(here).get();
  const std::thread::id other_worker = other.submit(here).get();
};

TEST_F(resuming, goes_there_and_stays) {
  auto body = [&]() -> task<> {
    EXPECT_EQ(here(), main);
    co_await resume_on(pool);
    EXPECT_EQ(here(), worker);
    co_await yield_now();
    EXPECT_EQ(here(), worker);
    co_await sleep_for(1s);
    EXPECT_EQ(here(), worker);
    auto f = other.submit(here);
    const auto there = co_await std::move(f);
    EXPECT_EQ(there, other_worker);
    EXPECT_EQ(here(), worker);
    co_await resume_on(other);
    EXPECT_EQ(here(), other_worker);
  };
  sync_wait(body());
  EXPECT_EQ(here(), main);
}

TEST_F(resuming, who_awaits_goes_on_where_it_was) {
  auto child = [&](bool fail) -> task<int> {
    co_await resume_on(pool);
    EXPECT_EQ(here(), worker);
    if (fail) throw std::runtime_error("from there");
    co_return 3;
  };
  auto middle = [&]() -> task<int> {
    const int n = co_await child(false);
    EXPECT_EQ(here(), main);
    co_return n;
  };
  auto body = [&]() -> task<> {
    const int n = co_await middle();
    EXPECT_EQ(n, 3);
    EXPECT_EQ(here(), main);
    std::string error;
    try {
      static_cast<void>(co_await child(true));
    } catch (const std::runtime_error& e) {
      error = e.what();
      EXPECT_EQ(here(), main);
    }
    EXPECT_EQ(error, "from there");
    EXPECT_EQ(here(), main);
  };
  sync_wait(body());
}

TEST_F(resuming, on_a_pool_as_on_a_loop) {
  auto child = [&]() -> task<> {
    co_await resume_on(other);
    EXPECT_EQ(here(), other_worker);
  };
  auto body = [&]() -> task<> {
    EXPECT_EQ(here(), worker);
    co_await child();
    EXPECT_EQ(here(), worker);
  };
  pool.submit(body()).get();
}

TEST_F(resuming, what_is_awaited_there_runs_there) {
  auto child = [&]() -> task<std::thread::id> {
    co_await yield_now();
    co_return here();
  };
  auto body = [&]() -> task<> {
    co_await resume_on(pool);
    const auto awaited = co_await child();
    EXPECT_EQ(awaited, worker);
    auto f = spawn(child());
    const auto spawned = co_await std::move(f);
    EXPECT_EQ(spawned, worker);
    const auto both = co_await tutti::when_all(child(), child());
    EXPECT_EQ(std::get<0>(both), worker);
    EXPECT_EQ(std::get<1>(both), worker);
  };
  sync_wait(body());
}

TEST_F(resuming, to_where_it_is) {
  auto body = [&]() -> task<> {
    co_await resume_on(pool);
    for (int i = 0; i < 1000; ++i) co_await resume_on(pool);
    EXPECT_EQ(here(), worker);
  };
  sync_wait(body());
}

TEST_F(resuming, there_and_back_many_times) {
  auto body = [&]() -> task<int> {
    int right = 0;
    for (int i = 0; i < 5000; ++i) {
      co_await resume_on(pool);
      right += here() == worker ? 1 : 0;
      co_await resume_on(other);
      right += here() == other_worker ? 1 : 0;
    }
    co_return right;
  };
  EXPECT_EQ(sync_wait(body()), 10'000);
}

TEST_F(resuming, children_that_go_there_many_times) {
  auto child = [&]() -> task<int> {
    co_await resume_on(pool);
    co_return here() == worker ? 1 : 0;
  };
  auto body = [&]() -> task<int> {
    int right = 0;
    for (int i = 0; i < 5000; ++i) {
      right += co_await child();
      right += here() == main ? 1 : 0;
    }
    co_return right;
  };
  EXPECT_EQ(sync_wait(body()), 10'000);
}

TEST_F(resuming, back_to_a_loop) {
  tutti::run_loop loop;
  auto body = [&]() -> task<> {
    co_await resume_on(pool);
    EXPECT_EQ(here(), worker);
    co_await resume_on(loop);
    EXPECT_EQ(here(), main);
  };
  loop.run(body());
}

TEST_F(resuming, through_a_handle_that_does_not_outlive_it) {
  auto body = [&]() -> task<> {
    {
      const auto handle = pool.share();
      auto& local = dynamic_cast<tutti::local_executor&>(*handle);
      co_await resume_on(local);
    }
    co_await yield_now();
    EXPECT_EQ(here(), worker);
  };
  sync_wait(body());
}

// ---- where nobody runs any more

TEST_F(resuming, to_one_that_is_shut_down) {
  pool.shutdown();
  auto body = [&]() -> task<> {
    const std::string end = co_await end_of([&] { return resume_on(pool); });
    EXPECT_EQ(end, "closed");
    EXPECT_EQ(here(), main) << "it stayed where it was";
    co_await yield_now();
    EXPECT_EQ(here(), main);
  };
  sync_wait(body());
}

TEST_F(resuming, to_one_that_is_shut_down_without_a_helper) {
  pool.shutdown(tutti::cancel);
  std::atomic<int> alive{0};
  auto body = [&]() -> task<bool> {
    const living me(alive);
    bool closed = false;
    try {
      co_await resume_on(pool);
    } catch (const tutti::closed&) {
      closed = true;
    }
    co_return closed&& here() == main;
  };
  EXPECT_TRUE(sync_wait(body()));
  EXPECT_EQ(alive, 0);
}

// The pool ends while one of another executor's coroutines sleeps there: it must not be lost.
TEST_F(resuming, when_the_place_ends_meanwhile) {
  for (const auto mode : {tutti::finish, tutti::cancel}) {
    std::atomic<int> alive{0};
    auto place = std::make_optional<thread_pool>(1);
    std::jthread closer;
    std::string inside;
    auto child = [&]() -> task<> {
      const living me(alive);
      co_await resume_on(*place);
      inside = co_await end_of([] { return sleep_for(10s); });
    };
    auto body = [&]() -> task<> {
      auto f = spawn(child());
      co_await sleep_for(1s);
      EXPECT_EQ(alive, 1);
      closer = std::jthread([&] {
        place->shutdown(mode);
        place.reset();
      });
      const std::string end = co_await end_of([&] { return std::move(f); });
      EXPECT_TRUE(end == "value" || end == "closed" || end == "cancelled") << end;
      EXPECT_EQ(here(), main);
    };
    sync_wait(body());
    closer.join();
    EXPECT_EQ(alive, 0);
  }
}

// The place the awaiting coroutine wants to go back to is shut down: what it awaits must still end, and it, too.
TEST_F(resuming, when_the_way_back_is_gone) {
  for (const auto mode : {tutti::finish, tutti::cancel}) {
    std::atomic<int> alive{0};
    thread_pool home(1);
    auto child = [&]() -> task<int> {
      const living me(alive);
      co_await resume_on(other);
      co_await tutti::shield(tutti_test::sleeper(10s));
      co_return 1;
    };
    auto parent = [&]() -> task<int> {
      const living me(alive);
      const int n = co_await child();
      co_return n + 1;
    };
    auto f = home.submit(parent());
    std::jthread closer;
    auto body = [&]() -> task<> {
      co_await sleep_for(1s);
      closer = std::jthread([&] { home.shutdown(mode); });
      co_await sleep_for(20s);
    };
    sync_wait(body());
    closer.join();
    EXPECT_TRUE(f.done());
    const std::string end = end_of_future(std::move(f));
    EXPECT_TRUE(end == "value" || (mode == tutti::cancel && end == "cancelled")) << end;
    EXPECT_EQ(alive, 0);
  }
}

}  // namespace
