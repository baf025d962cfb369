// Tasks of a loop that are cancelled before they have begun: what they were given belongs to the loop's thread.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <tests/support/tasks.hpp>
#include <thread>
#include <utility>

namespace {

using tutti::future;
using tutti::run_loop;
using tutti::spawn;
using tutti::task;
using tutti_test::end_of;
using tutti_test::end_of_future;
using tutti_test::watchdog;

// Notes on which thread it is destroyed.
struct traveller {
  explicit traveller(std::thread::id& note) : end(&note) {}
  traveller(traveller&&) = default;
  traveller& operator=(traveller&&) = delete;
  ~traveller() {
    if (end != nullptr) *end = std::this_thread::get_id();
  }
  struct forget {
    void operator()(std::thread::id*) const noexcept {}
  };
  std::unique_ptr<std::thread::id, forget> end;
};

task<> never(bool& begun, traveller) {
  begun = true;
  co_return;
}

TEST(cancel_on_a_loop, from_another_thread_leaves_what_it_was_given_to_the_loop) {
  const watchdog dog;
  run_loop loop;
  bool begun = false, was_over = true, said = true;
  std::thread::id ended_on;
  std::string end;
  auto body = [&]() -> task<> {
    auto child = spawn(never(begun, traveller(ended_on)));
    std::thread([&] {
      said = child.cancel();
      was_over = child.done();
    }).join();
    end = co_await end_of([&] { return std::move(child); });
  };
  loop.run(body());
  EXPECT_FALSE(said);
  EXPECT_FALSE(was_over);
  EXPECT_EQ(end, "cancelled");
  EXPECT_FALSE(begun);
  EXPECT_EQ(ended_on, std::this_thread::get_id());
}

TEST(cancel_on_a_loop, of_a_whole_group_by_a_thread_that_stops_it) {
  const watchdog dog;
  run_loop loop;
  bool begun = false;
  std::thread::id ended_on;
  future<void> whole;
  auto body = [&]() -> task<> {
    co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
      // Its turn comes when this waits for the group, and before the other one's.
      group.spawn([&]() -> task<> {
        std::thread([&] { whole.cancel(); }).join();
        co_return;
      });
      group.spawn(never(begun, traveller(ended_on)));
      co_return;
    });
  };
  whole = loop.submit(body());
  loop.run(tutti_test::some_turns());
  EXPECT_EQ(end_of_future(std::move(whole)), "cancelled");
  EXPECT_FALSE(begun);
  EXPECT_EQ(ended_on, std::this_thread::get_id());
}

TEST(cancel_on_a_loop, on_its_thread_is_at_once) {
  const watchdog dog;
  run_loop loop;
  bool begun = false;
  std::thread::id ended_on;
  auto body = [&]() -> task<> {
    auto child = spawn(never(begun, traveller(ended_on)));
    EXPECT_TRUE(child.cancel());
    EXPECT_TRUE(child.done());
    EXPECT_EQ(ended_on, std::this_thread::get_id());
    co_return;
  };
  loop.run(body());
  EXPECT_FALSE(begun);
}

TEST(cancel_on_a_loop, that_nobody_drives_is_at_once) {
  const watchdog dog;
  run_loop loop;
  bool begun = false;
  std::thread::id ended_on;
  auto waits = loop.submit(never(begun, traveller(ended_on)));
  std::thread([&] { EXPECT_TRUE(waits.cancel()); }).join();
  EXPECT_EQ(end_of_future(std::move(waits)), "cancelled");
  EXPECT_FALSE(begun);
}

TEST(cancel_on_a_loop, a_shutdown_completes_it_too) {
  const watchdog dog;
  bool begun = false;
  std::thread::id ended_on;
  future<void> waits;
  {
    run_loop loop;
    auto body = [&]() -> task<> {
      waits = spawn(never(begun, traveller(ended_on)));
      std::thread([&] { waits.cancel(); }).join();
      co_return;
    };
    loop.run(body());  // and it stays behind in the queue
  }
  EXPECT_EQ(end_of_future(std::move(waits)), "cancelled");
  EXPECT_FALSE(begun);
  EXPECT_EQ(ended_on, std::this_thread::get_id());
}

}  // namespace
