// What dump() tells about coroutines: who waits, for what, since when, and for whom.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <sstream>
#include <string>
#include <tests/support/tasks.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;
using tutti::sleep_for;
using tutti::spawn;
using tutti::sync_wait;
using tutti::task;
using tutti::yield_now;
using tutti_test::end_of;

using task_dump = tutti_test::virtual_time;

std::string dumped() {
  std::ostringstream out;
  tutti::dump(out);
  return out.str();
}
std::string at_line(int line) { return "task_dump_test.cpp:" + std::to_string(line); }
// The lines of a dump about one task, from its name to the next line that begins like its own.
std::string about(const std::string& name) {
  const std::string all = dumped();
  const std::size_t at = all.find(name);
  if (at == std::string::npos) return {};
  const std::size_t begin = all.rfind('\n', at) + 1;
  const std::size_t indent = all.find_first_not_of(' ', begin) - begin;
  std::string lines;
  std::istringstream in(all.substr(begin));
  for (std::string line; std::getline(in, line);) {
    if (!lines.empty() && line.find_first_not_of(' ') <= indent) break;
    lines += line + '\n';
  }
  return lines;
}

constexpr int line_of_sleep = __LINE__ + 1;
task<> innermost() { co_await sleep_for(1h); }
constexpr int line_of_middle = __LINE__ + 1;
task<> middle() { co_await innermost(); }
constexpr int line_of_outermost = __LINE__ + 1;
task<> outermost() { co_await middle(); }

TEST_F(task_dump, a_sleeping_task_with_the_chain_of_its_awaits) {
  auto body = [&]() -> task<> {
    auto f = spawn(outermost(), {.name = "the fetcher"});
    co_await sleep_for(1s);
    const std::string text = about("the fetcher");
    EXPECT_THAT(text, HasSubstr("sleep"));
    EXPECT_THAT(text, HasSubstr(at_line(line_of_sleep)));
    EXPECT_THAT(text, HasSubstr(at_line(line_of_middle)));
    EXPECT_THAT(text, HasSubstr(at_line(line_of_outermost)));
    EXPECT_LT(text.find(at_line(line_of_sleep)), text.find(at_line(line_of_middle))) << "innermost first";
    EXPECT_LT(text.find(at_line(line_of_middle)), text.find(at_line(line_of_outermost)));
    f.cancel();
    const std::string end = co_await end_of([&] { return std::move(f); });
    EXPECT_EQ(end, "cancelled");
    EXPECT_THAT(dumped(), Not(HasSubstr("the fetcher")));
  };
  sync_wait(body());
}

TEST_F(task_dump, for_how_long) {
  auto body = [&]() -> task<> {
    auto f = spawn(outermost(), {.name = "the patient one"});
    co_await sleep_for(1s);
    const std::string before = about("the patient one");
    EXPECT_THAT(before, testing::ContainsRegex("waits in sleep_for for [0-9.e-]+ s\n"));
    while (about("the patient one") == before) std::this_thread::yield();  // it waits for longer and longer
    f.cancel();
    static_cast<void>(co_await end_of([&] { return std::move(f); }));
  };
  sync_wait(body());
}

constexpr int line_of_future = __LINE__ + 1;
task<int> reader(tutti::future<int> from) { co_return co_await std::move(from); }
task<> yielder(const std::atomic<bool>& over) {
  while (!over) co_await yield_now();
}
constexpr int line_of_when = __LINE__ + 1;
task<> both() { co_await tutti::when_all(outermost(), outermost()); }
const auto one_child = [](tutti::task_group& g) -> task<> {
  g.spawn(outermost(), {.name = "a child of the group"});
  co_return;
};
constexpr int line_of_group = __LINE__ + 1;
task<> with_group() { co_await tutti::task_group::run(one_child); }

TEST_F(task_dump, each_kind_of_await) {
  tutti::promise<int> p;
  auto body = [&]() -> task<> {
    auto reading = spawn(reader(p.get_future()), {.name = "the reader"});
    auto waiting = spawn(both(), {.name = "the awaiter of two"});
    auto grouped = spawn(with_group(), {.name = "the group's"});
    co_await sleep_for(1s);
    EXPECT_THAT(about("the reader"), HasSubstr("future"));
    EXPECT_THAT(about("the reader"), HasSubstr(at_line(line_of_future)));
    EXPECT_THAT(about("the awaiter of two"), HasSubstr("when_all"));
    EXPECT_THAT(about("the awaiter of two"), HasSubstr(at_line(line_of_when)));
    EXPECT_THAT(about("the group's"), HasSubstr("group"));
    EXPECT_THAT(about("the group's"), HasSubstr(at_line(line_of_group)));
    EXPECT_THAT(about("a child of the group"), HasSubstr(at_line(line_of_sleep)));
    p.set_value(1);
    const int n = co_await std::move(reading);
    EXPECT_EQ(n, 1);
    waiting.cancel();
    grouped.cancel();
    static_cast<void>(co_await end_of([&] { return std::move(waiting); }));
    static_cast<void>(co_await end_of([&] { return std::move(grouped); }));
  };
  sync_wait(body());
}

TEST_F(task_dump, the_task_of_sync_wait_is_seen_by_others) {
  const tutti_test::watchdog dog;
  tutti::thread_pool pool(1);
  auto body = [&]() -> task<> {
    auto f = pool.submit([] {
      while (dumped().find("task_dump_test.cpp") == std::string::npos) std::this_thread::yield();  // until it waits
    });
    co_await std::move(f);
  };
  sync_wait(body());
}

TEST_F(task_dump, tasks_of_a_pool_while_it_hangs) {
  // A cycle: each awaits the other. The dump from outside shows both.
  tutti::thread_pool pool(1);
  tutti::promise<int> to_first, to_second;
  auto first = pool.with({.name = "left hand"}).submit(reader(to_first.get_future()));
  auto second = pool.with({.name = "right hand"}).submit(reader(to_second.get_future()));
  while (about("left hand").find(at_line(line_of_future)) == std::string::npos ||
         about("right hand").find(at_line(line_of_future)) == std::string::npos) {
    std::this_thread::yield();
  }
  to_first.set_value(1);
  to_second.set_value(2);
  EXPECT_EQ(first.get() + second.get(), 3);
  EXPECT_THAT(dumped(), Not(HasSubstr("left hand")));
}

TEST_F(task_dump, of_very_many_and_very_deep_ones) {
  struct deep {
    static task<> down(int n) {
      if (n == 0) co_await sleep_for(1h);
      if (n > 0) co_await down(n - 1);
    }
  };
  auto body = [&]() -> task<> {
    std::vector<tutti::future<void>> all;
    for (int i = 0; i < 10'000; ++i) all.push_back(spawn(outermost()));
    auto line = spawn(deep::down(100'000), {.name = "the deep one"});
    co_await sleep_for(1s);
    EXPECT_THAT(dumped(), HasSubstr("the deep one"));
    for (auto& f : all) f.cancel();
    line.cancel();
    for (auto& f : all) static_cast<void>(co_await end_of([&] { return std::move(f); }));
    static_cast<void>(co_await end_of([&] { return std::move(line); }));
  };
  sync_wait(body());
}

TEST(task_dump_race, at_any_time_from_any_thread) {
  const tutti_test::watchdog dog;
  std::atomic<bool> over{false};
  std::jthread looking([&] {
    while (!over) dumped();
  });
  {
    std::atomic<bool> enough{false};
    tutti::thread_pool pool(2);
    auto some = [](int i) -> task<int> {
      co_await yield_now();
      auto f = spawn(tutti_test::give_later(i), {.name = "inner"});
      const int n = co_await std::move(f);
      co_await sleep_for(1us);
      const auto all = co_await tutti::when_all(tutti_test::give_later(n), tutti_test::sleeper(2us));
      co_return std::get<0>(all);
    };
    for (int round = 0; round < (tutti_test::sanitized ? 20 : 100); ++round) {
      std::vector<tutti::future<int>> futures;
      for (int i = 0; i < 20; ++i) futures.push_back(pool.with({.name = "outer"}).submit(some(i)));
      for (int i = 0; i < 20; ++i) {
        if (i % 3 == 0) futures[static_cast<std::size_t>(i)].cancel();
      }
      for (int i = 0; i < 20; ++i) {
        const std::string end = tutti_test::end_of_future(std::move(futures[static_cast<std::size_t>(i)]));
        EXPECT_TRUE(end == "value" || (i % 3 == 0 && end == "cancelled")) << end;
      }
    }
    auto spinning = pool.submit(yielder(enough));
    for (int i = 0; i < 10; ++i) dumped();
    enough = true;
    spinning.get();
  }
  over = true;
}

}  // namespace
