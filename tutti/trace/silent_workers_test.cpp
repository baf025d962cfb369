// Workers that said nothing while they were recorded: who is shown, and as what.
#include <gtest/gtest.h>
#include <tutti/core/thread_pool.hpp>
#include <tutti/trace/trace.hpp>

#include <algorithm>
#include <cstdint>
#include <latch>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using tutti::slice_kind;
using tutti::timeline;

// Threads of that pool, by what they did all the time; empty: none.
std::vector<slice_kind> all_the_time(const timeline& of, std::string_view pool) {
  std::vector<slice_kind> found;
  for (const timeline::slice& s : of.slices) {
    if (of.threads[s.thread].name.starts_with(pool)) found.push_back(s.kind);
  }
  return found;
}

void let_sleep(tutti::thread_pool& pool, std::uint64_t workers) {
  while (pool.stats().parked < workers) std::this_thread::yield();
}

TEST(silent_workers, shows_workers_that_did_nothing) {
  tutti::thread_pool pool({.threads = 2, .name = "silent"});
  let_sleep(pool, 2);
  tutti::trace_recorder recorder;
  recorder.start();
  recorder.stop();
  const timeline seen = recorder.collect();
  int found = 0;
  for (std::size_t i = 0; i < seen.threads.size(); ++i) {
    if (!seen.threads[i].name.starts_with("silent/")) continue;
    ++found;
    const auto s = tutti::summarise(seen).threads[i];
    EXPECT_EQ(s.idle + s.busy + s.waiting + s.overhead, s.alive);
  }
  EXPECT_EQ(found, 2);
}

TEST(silent_workers, shows_silent_workers_as_they_were_when_it_stopped) {
  std::latch begun(1), go_on(1);
  tutti::thread_pool busy_later({.threads = 1, .name = "busy later"});
  auto gone_later =
      std::make_unique<tutti::thread_pool>(tutti::thread_pool_options{.threads = 1, .name = "gone later"});
  let_sleep(busy_later, 1);
  let_sleep(*gone_later, 1);
  tutti::trace_recorder recorder;
  recorder.start();
  recorder.stop();
  busy_later.with({.name = "later"}).post([&] {
    begun.count_down();
    go_on.wait();
  });
  begun.wait();
  gone_later.reset();
  tutti::thread_pool born_later({.threads = 1, .name = "born later"});
  let_sleep(born_later, 1);
  const timeline seen = recorder.collect();
  go_on.count_down();
  EXPECT_EQ(all_the_time(seen, "busy later/"), std::vector{slice_kind::park});
  EXPECT_EQ(all_the_time(seen, "gone later/"), std::vector{slice_kind::park});
  EXPECT_TRUE(all_the_time(seen, "born later/").empty());
}

TEST(silent_workers, shows_a_task_that_went_on_all_the_time) {
  std::latch begun(1), go_on(1);
  tutti::thread_pool pool({.threads = 1, .name = "long"});
  pool.with({.name = "long task"}).post([&] {
    begun.count_down();
    while (!go_on.try_wait()) std::this_thread::yield();
  });
  begun.wait();
  tutti::trace_recorder recorder;
  recorder.start();
  EXPECT_EQ(all_the_time(recorder.collect(), "long/"), std::vector{slice_kind::task});
  recorder.stop();
  go_on.count_down();
  const timeline seen = recorder.collect();
  EXPECT_EQ(all_the_time(seen, "long/"), std::vector{slice_kind::task});
  EXPECT_TRUE(std::any_of(seen.slices.begin(), seen.slices.end(),
                          [&](const timeline::slice& s) { return seen[s.name] == "long task"; }));
}

TEST(silent_workers, workers_without_room_are_not_asleep) {
  std::latch done(1);
  tutti::thread_pool pool({.threads = 1, .name = "no room"});
  let_sleep(pool, 1);
  tutti::trace_recorder recorder({.bytes_per_thread = 24 * 16, .max_threads = 1});
  recorder.start();
  pool.post([&] { done.count_down(); });
  done.wait();
  recorder.stop();
  const timeline seen = recorder.collect();
  EXPECT_GT(seen.dropped, 0U);
  EXPECT_TRUE(all_the_time(seen, "no room/").empty());
}

}  // namespace
