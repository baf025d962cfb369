// Recordings of small programs: what they show, and that recording never disturbs.
#include <gtest/gtest.h>
#include <tests/support/forks.hpp>
#include <tutti/core/fork_join.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/promise.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/trace/trace.hpp>

#include <algorithm>
#include <atomic>
#include <latch>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using tutti::flow_kind;
using tutti::mark_kind;
using tutti::slice_kind;
using tutti::timeline;

std::vector<timeline::slice> slices_named(const timeline& of, std::string_view name) {
  std::vector<timeline::slice> found;
  std::copy_if(of.slices.begin(), of.slices.end(), std::back_inserter(found),
               [&](const timeline::slice& s) { return of[s.name] == name; });
  return found;
}

const timeline::flow* flow_to(const timeline& of, flow_kind kind, const timeline::slice& slice) {
  const auto found = std::find_if(of.flows.begin(), of.flows.end(), [&](const timeline::flow& f) {
    return f.kind == kind && f.to == slice.begin && f.to_thread == slice.thread;
  });
  return found == of.flows.end() ? nullptr : &*found;
}

// Without the workers of pools that other tests have left behind, asleep.
std::ptrdiff_t threads_outside_pools(const timeline& of) {
  return std::count_if(of.threads.begin(), of.threads.end(), [](const auto& t) { return !t.is_worker; });
}

template <class F>
timeline recorded(F run, const tutti::trace_options& options = {}) {
  tutti::trace_recorder recorder(options);
  recorder.start();
  run();
  recorder.stop();
  return recorder.collect();
}

TEST(trace_recorder, shows_tasks_with_their_names_and_where_they_came_from) {
  const timeline seen = recorded([] {
    tutti::thread_pool pool({.threads = 2, .name = "traced"});
    for (int i = 0; i < 3; ++i) pool.with({.name = "small"}).submit([] {}).get();
  });
  const auto tasks = slices_named(seen, "small");
  ASSERT_EQ(tasks.size(), 3U);
  for (const auto& task : tasks) {
    EXPECT_EQ(task.kind, slice_kind::task);
    EXPECT_LT(task.begin, task.end);
    EXPECT_TRUE(seen.threads[task.thread].is_worker);
    EXPECT_TRUE(seen.threads[task.thread].name.starts_with("traced/"));
    const timeline::flow* const arrow = flow_to(seen, flow_kind::submit, task);
    ASSERT_NE(arrow, nullptr);
    EXPECT_EQ(seen.threads[arrow->from_thread].name, "main");
    EXPECT_LE(arrow->from, arrow->to);
  }
  EXPECT_EQ(seen.all_dropped(), 0U);
}

// A worker that is just through with a task finds one that was handed in since: it did not begin before that.
TEST(trace_recorder, tasks_begin_after_their_submit_however_close) {
  constexpr std::size_t many = 4000;
  const timeline seen = recorded([] {
    std::atomic<int> done{0};
    tutti::thread_pool pool(1);
    for (int i = 0; i < static_cast<int>(many); ++i) {
      pool.with({.name = "next"}).post([&] { ++done; });
      while (done <= i) std::this_thread::yield();
    }
  });
  const auto tasks = slices_named(seen, "next");
  ASSERT_EQ(tasks.size(), many);
  std::int64_t last_from = -1;
  for (const auto& task : tasks) {
    const timeline::flow* const arrow = flow_to(seen, flow_kind::submit, task);
    ASSERT_NE(arrow, nullptr);
    EXPECT_LT(last_from, arrow->from);
    EXPECT_LE(arrow->from, arrow->to);
    last_from = arrow->from;
  }
}

TEST(trace_recorder, shows_posted_functions_and_run_loops) {
  const timeline seen = recorded([] {
    std::latch done(1);
    tutti::thread_pool pool(1);
    pool.with({.name = "posted"}).post([&] { done.count_down(); });
    done.wait();
    tutti::run_loop loop;
    loop.with({.name = "on the loop"}).post([] {});
    loop.shutdown();
    tutti::inline_executor here;
    here.with({.name = "at once"}).submit([] {}).get();
  });
  ASSERT_EQ(slices_named(seen, "posted").size(), 1U);
  const auto on_loop = slices_named(seen, "on the loop");
  ASSERT_EQ(on_loop.size(), 1U);
  EXPECT_NE(flow_to(seen, flow_kind::submit, on_loop[0]), nullptr);
  EXPECT_EQ(slices_named(seen, "at once").size(), 1U);
}

TEST(trace_recorder, shows_stolen_branches_with_their_task_and_the_join) {
  const timeline seen = recorded([] {
    tutti::thread_pool pool({.threads = 2, .name = "stealing"});
    // The left branch goes on until the right one runs, so somebody else must have taken it.
    pool.with({.name = "forks"})
        .submit([] {
          std::atomic<bool> stolen{false};
          tutti::fork_join(
              [&] {
                while (!stolen) {
                  tutti::fork_join([] {}, [] {});
                  std::this_thread::yield();
                }
              },
              [&] { stolen = true; });
        })
        .get();
  });
  const auto branch = std::find_if(seen.slices.begin(), seen.slices.end(),
                                   [](const timeline::slice& s) { return s.kind == slice_kind::branch; });
  ASSERT_NE(branch, seen.slices.end());
  EXPECT_EQ(seen[branch->name], "forks");
  const timeline::flow* const fork = flow_to(seen, flow_kind::fork, *branch);
  ASSERT_NE(fork, nullptr);
  EXPECT_NE(fork->from_thread, branch->thread);
  EXPECT_TRUE(
      std::any_of(seen.marks.begin(), seen.marks.end(), [](const auto& m) { return m.kind == mark_kind::publish; }));
  EXPECT_TRUE(
      std::any_of(seen.marks.begin(), seen.marks.end(), [](const auto& m) { return m.kind == mark_kind::steal; }));
  EXPECT_TRUE(std::any_of(seen.flows.begin(), seen.flows.end(), [&](const timeline::flow& f) {
    return f.kind == flow_kind::join && f.from_thread == branch->thread && f.from < branch->end;
  }));
}

TEST(trace_recorder, shows_waits_with_place_and_waker) {
  tutti::trace_recorder recorder;
  recorder.start();
  tutti::promise<int> promise;
  auto result = promise.get_future();
  std::thread other([&] {
    const auto waits = [](const timeline& now) {
      return std::any_of(now.slices.begin(), now.slices.end(),
                         [](const timeline::slice& s) { return s.kind == slice_kind::wait && s.unfinished; });
    };
    while (!waits(recorder.collect())) std::this_thread::yield();
    promise.set_value(1);
  });
  EXPECT_EQ(result.get(), 1);
  other.join();
  recorder.stop();
  const timeline seen = recorder.collect();
  const auto waits = slices_named(seen, "future::wait");
  ASSERT_EQ(waits.size(), 1U);
  EXPECT_EQ(waits[0].kind, slice_kind::wait);
  EXPECT_NE(seen[waits[0].where].find("recorder_test.cpp:"), std::string::npos);
  EXPECT_TRUE(std::any_of(seen.flows.begin(), seen.flows.end(), [&](const timeline::flow& f) {
    return f.kind == flow_kind::wake && f.to_thread == waits[0].thread && f.to == waits[0].end;
  }));
}

TEST(trace_recorder, shows_a_task_run_by_who_waits_for_it) {
  const timeline seen = recorded([] {
    tutti::thread_pool pool(1);
    pool.with({.name = "outer"}).submit([&pool] { pool.with({.name = "inner"}).submit([] {}).get(); }).get();
  });
  const auto outer = slices_named(seen, "outer"), inner = slices_named(seen, "inner");
  ASSERT_EQ(outer.size(), 1U);
  ASSERT_EQ(inner.size(), 1U);
  EXPECT_EQ(outer[0].thread, inner[0].thread);
  EXPECT_LT(outer[0].begin, inner[0].begin);
  EXPECT_LT(inner[0].end, outer[0].end);
}

TEST(trace_recorder, shows_the_programs_own_phases_marks_and_numbers) {
  const timeline seen = recorded([] {
    const tutti::trace_span load("load");
    const std::string name = "made here";
    const tutti::trace_span inner{tutti::trace_name(name)};
    tutti::trace_mark("frame", 7);
    tutti::trace_count("queue", -3);
  });
  ASSERT_EQ(slices_named(seen, "load").size(), 1U);
  ASSERT_EQ(slices_named(seen, "made here").size(), 1U);
  ASSERT_EQ(seen.marks.size(), 1U);
  EXPECT_EQ(seen[seen.marks[0].name], "frame");
  EXPECT_EQ(seen.marks[0].number, 7U);
  EXPECT_TRUE(std::any_of(seen.counters.begin(), seen.counters.end(),
                          [&](const auto& c) { return seen[c.name] == "queue" && c.value == -3; }));
}

TEST(trace_recorder, keeps_the_last_events_and_counts_the_others) {
  const timeline seen = recorded(
      [] {
        for (std::uint64_t i = 0; i < 100; ++i) tutti::trace_mark("mark", i);
      },
      {.bytes_per_thread = 24 * 16, .max_threads = 4});
  EXPECT_EQ(seen.all_dropped(), 85U);
  ASSERT_EQ(seen.marks.size(), 15U);
  EXPECT_EQ(seen.marks.front().number, 85U);
  EXPECT_EQ(seen.marks.back().number, 99U);
}

TEST(trace_recorder, threads_come_and_go_within_the_bound) {
  const timeline seen = recorded(
      [] {
        for (std::uint64_t i = 0; i < 20; ++i) std::thread([i] { tutti::trace_mark("mark", i); }).join();
      },
      {.bytes_per_thread = 24 * 16, .max_threads = 3});
  // This thread, and the last two; what the other eighteen had to say is counted.
  EXPECT_EQ(threads_outside_pools(seen), 3);
  EXPECT_EQ(seen.marks.size(), 2U);
  EXPECT_EQ(seen.dropped, 18U);
}

TEST(trace_recorder, threads_without_room_are_counted) {
  const timeline seen = recorded(
      [] {
        std::latch both(2);
        const auto run = [&both](std::uint64_t number) {
          tutti::trace_mark("mark", number);
          both.arrive_and_wait();  // nobody's place becomes free
          tutti::trace_mark("mark", number);
        };
        std::thread other(run, 2);
        run(1);
        other.join();
      },
      {.bytes_per_thread = 24 * 16, .max_threads = 1});
  EXPECT_EQ(threads_outside_pools(seen), 1);
  EXPECT_EQ(seen.marks.size(), 2U);
  EXPECT_EQ(seen.dropped, 2U);
}

TEST(trace_recorder, begins_anew_with_other_options) {
  tutti::trace_recorder large({.bytes_per_thread = 24 * 64, .max_threads = 4});
  large.start();
  tutti::trace_mark("old");
  large.stop();
  tutti::trace_recorder small({.bytes_per_thread = 24 * 4, .max_threads = 4});
  small.start();
  for (std::uint64_t i = 0; i < 10; ++i) tutti::trace_mark("new", i);
  small.stop();
  const timeline seen = small.collect();
  EXPECT_EQ(seen.marks.size(), 3U);
  EXPECT_EQ(seen.all_dropped(), 7U);
  EXPECT_THROW(static_cast<void>(large.collect()), std::logic_error);
  small.start();
  EXPECT_TRUE(small.is_recording());
  EXPECT_TRUE(small.collect().marks.empty());
}

TEST(trace_recorder, one_at_a_time) {
  tutti::trace_recorder first, second;
  EXPECT_THROW(static_cast<void>(first.collect()), std::logic_error);
  first.start();
  EXPECT_THROW(second.start(), std::logic_error);
  EXPECT_THROW(first.start(), std::logic_error);
  second.stop();  // not its own
  EXPECT_TRUE(first.is_recording());
  first.stop();
  first.stop();
  EXPECT_FALSE(first.is_recording());
  second.start();
  EXPECT_TRUE(second.is_recording());
}

class other_sink final : public tutti::trace_sink {
  void record(tutti::trace_kind, std::uint64_t, std::uint64_t) noexcept override {}
};

TEST(trace_recorder, leaves_other_sinks_alone) {
  static other_sink sink;
  tutti::set_trace_sink(&sink);
  tutti::trace_recorder recorder;
  EXPECT_THROW(recorder.start(), std::logic_error);
  EXPECT_EQ(tutti::set_trace_sink(nullptr), &sink);
}

// Threads that trace without end, while recordings begin, are looked at and end.
TEST(trace_recorder, stops_while_others_trace) {
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; !done; ++i) {
        const tutti::trace_span span("span");
        tutti::trace_mark("mark", i);
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    tutti::trace_recorder recorder({.bytes_per_thread = std::size_t{24} * (8U << (i % 4)), .max_threads = 8});
    recorder.start();
    for (const bool on : {true, false}) {
      if (!on) recorder.stop();
      const timeline seen = recorder.collect();
      for (const auto& slice : seen.slices) ASSERT_LE(slice.begin, slice.end);
      for (const auto& mark : seen.marks) ASSERT_EQ(seen[mark.name], "mark");
    }
  }
  done = true;
  for (auto& thread : threads) thread.join();
}

TEST(trace_recorder, a_forked_child_records_nothing_and_can_begin_anew) {
  TUTTI_NEEDS_FORKS_BESIDE_THREADS();
  tutti::trace_recorder recorder;
  recorder.start();
  tutti::trace_mark("parent");
  EXPECT_EQ(tutti_test::in_child([&] {
              if (tutti::tracing() || recorder.is_recording()) return 1;
              try {
                static_cast<void>(recorder.collect());
                return 2;
              } catch (const std::logic_error&) {
              }
              tutti::trace_recorder own;
              own.start();
              tutti::trace_mark("child");
              own.stop();
              return own.collect().marks.size() == 1 ? 0 : 3;
            }),
            0);
  tutti::trace_mark("parent");
  recorder.stop();
  EXPECT_EQ(recorder.collect().marks.size(), 2U);
}

TEST(trace_recorder, a_file_that_cannot_be_written_is_an_error_with_its_name) {
  tutti::trace_recorder recorder;
  recorder.start();
  recorder.stop();
  try {
    recorder.write("/no/such/folder/t.json");
    FAIL();
  } catch (const std::system_error& why) {
    EXPECT_EQ(why.code(), std::errc::no_such_file_or_directory);
    EXPECT_NE(std::string(why.what()).find("\"/no/such/folder/t.json\""), std::string::npos);
  }
  try {
    recorder.write("/dev/full");
    FAIL();
  } catch (const std::system_error& why) {
    EXPECT_EQ(why.code(), std::errc::no_space_on_device);
  }
}

TEST(trace_recorder, what_it_writes_can_be_read) {
  tutti::trace_recorder recorder;
  recorder.start();
  tutti::thread_pool(2).with({.name = "a task"}).submit([] {}).get();
  recorder.stop();
  std::ostringstream out;
  recorder.write(out);
  const timeline again = tutti::read_timeline(out.view());
  EXPECT_EQ(slices_named(again, "a task").size(), 1U);
  EXPECT_EQ(again.slices.size(), recorder.collect().slices.size());
  EXPECT_EQ(again.flows.size(), recorder.collect().flows.size());
}

}  // namespace
