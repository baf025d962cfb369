// Trace points of known order become the slices and flows that they mean.
#include <gtest/gtest.h>
#include <tutti/trace/weave.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace {

using tutti::flow_kind;
using tutti::slice_kind;
using tutti::timeline;
using tutti::trace_kind;
using tutti::detail::recorded_thread;
using tutti::detail::tick_pair;
using tutti::detail::tick_scale;
using tutti::detail::trace_event;

std::uint64_t text(const char* literal) { return tutti::trace_text(literal); }

// One tick is a nanosecond; the recording lasts 1000.
timeline woven(const std::vector<recorded_thread>& threads) {
  timeline made;
  tutti::detail::weave(threads, tick_scale(tick_pair{0, 0}, tick_pair{1000, 1000}), made);
  return made;
}

recorded_thread worker(std::vector<trace_event> events, std::uint64_t dropped = 0) {
  recorded_thread made;
  made.about.name = "w";
  made.about.is_worker = true;
  made.about.dropped = dropped;
  made.events = std::move(events);
  return made;
}

recorded_thread outsider(std::vector<trace_event> events) {
  recorded_thread made;
  made.about.name = "main";
  made.events = std::move(events);
  return made;
}

TEST(trace_weave, submit_begin_end) {
  const timeline t =
      woven({outsider({{100, trace_kind::task_submit, 0x10, 0}}),
             worker({{200, trace_kind::task_begin, 0x10, text("load")}, {300, trace_kind::task_end, 0x10, 0x20}})});
  ASSERT_EQ(t.slices.size(), 1U);
  const timeline::slice& task = t.slices[0];
  EXPECT_EQ(task.kind, slice_kind::task);
  EXPECT_EQ(t[task.name], "load");
  EXPECT_EQ(task.thread, 1U);
  EXPECT_EQ(task.begin, 200);
  EXPECT_EQ(task.end, 300);
  EXPECT_FALSE(task.resumed);
  EXPECT_FALSE(task.unfinished);
  ASSERT_EQ(t.flows.size(), 1U);
  EXPECT_EQ(t.flows[0].kind, flow_kind::submit);
  EXPECT_EQ(t.flows[0].from_thread, 0U);
  EXPECT_EQ(t.flows[0].from, 100);
  EXPECT_EQ(t.flows[0].to_thread, 1U);
  EXPECT_EQ(t.flows[0].to, 200);
  EXPECT_EQ(t.threads[0].begin, 100);
  EXPECT_EQ(t.threads[0].end, 100);
  EXPECT_EQ(t.threads[1].begin, 0);
  EXPECT_EQ(t.threads[1].end, 1000);
}

TEST(trace_weave, an_address_is_used_again) {
  const timeline t = woven({outsider({{10, trace_kind::task_submit, 0x10, 0}, {50, trace_kind::task_submit, 0x10, 0}}),
                            worker({{20, trace_kind::task_begin, 0x10, 0},
                                    {30, trace_kind::task_end, 0x10, 1},
                                    {60, trace_kind::task_begin, 0x10, 0},
                                    {70, trace_kind::task_end, 0x10, 1}})});
  ASSERT_EQ(t.flows.size(), 2U);
  EXPECT_EQ(t.flows[0].from, 10);
  EXPECT_EQ(t.flows[0].to, 20);
  EXPECT_EQ(t.flows[1].from, 50);
  EXPECT_EQ(t.flows[1].to, 60);
  EXPECT_EQ(t[t.slices[0].name], "task");
}

TEST(trace_weave, who_joins_may_be_through_before_the_task_says_that_it_has_ended) {
  const timeline t = woven({outsider({{80, trace_kind::join, 0x20, 0}}),
                            worker({{20, trace_kind::task_begin, 0x10, 0}, {90, trace_kind::task_end, 0x10, 0x20}})});
  ASSERT_EQ(t.flows.size(), 1U);
  EXPECT_EQ(t.flows[0].kind, flow_kind::join);
  EXPECT_EQ(t.flows[0].from, 79);
  EXPECT_EQ(t.flows[0].to, 80);
}

TEST(trace_weave, a_coroutine_waits_and_goes_on_elsewhere) {
  const timeline t = woven({worker({{10, trace_kind::task_begin, 0x10, text("fetch")},
                                    {20, trace_kind::span_begin, 0x99, text("phase")},
                                    {30, trace_kind::task_wait, 0x10, text("sleep_for")},
                                    {40, trace_kind::task_end, 0x10, 0},
                                    {60, trace_kind::task_resume, 0x10, 0}}),
                            worker({{70, trace_kind::task_begin, 0x10, text("fetch")},
                                    {75, trace_kind::span_end, 0x99, 0},
                                    {80, trace_kind::task_end, 0x10, 0x20}})});
  ASSERT_EQ(t.slices.size(), 3U);
  EXPECT_EQ(t[t.slices[0].detail], "sleep_for");
  EXPECT_EQ(t.slices[0].end, 40);
  EXPECT_EQ(t.slices[1].kind, slice_kind::span);
  EXPECT_EQ(t.slices[1].end, 40);  // a phase ends where the coroutine waits
  EXPECT_TRUE(t.slices[2].resumed);
  EXPECT_EQ(t.slices[2].end, 80);
  ASSERT_EQ(t.flows.size(), 2U);
  EXPECT_TRUE(std::any_of(t.flows.begin(), t.flows.end(),
                          [](const auto& f) { return f.kind == flow_kind::resume && f.from == 60 && f.to == 70; }));
  EXPECT_TRUE(std::any_of(t.flows.begin(), t.flows.end(),
                          [](const auto& f) { return f.kind == flow_kind::go_on && f.from == 39 && f.to == 70; }));
}

TEST(trace_weave, waits_have_reasons_and_wakers) {
  const timeline t = woven({outsider({{10, trace_kind::wait_begin, 0x1, text("mutex::lock")},
                                      {11, trace_kind::wait_place, text("a.cpp"), 7},
                                      {12, trace_kind::wait_name, text("mutex"), text("index")},
                                      {50, trace_kind::wait_end, 0x1, 0xAA}}),
                            worker({{5, trace_kind::wake, 0xAA, 0}, {40, trace_kind::wake, 0xAA, 0}})});
  ASSERT_EQ(t.slices.size(), 1U);
  EXPECT_EQ(t.slices[0].kind, slice_kind::wait);
  EXPECT_EQ(t[t.slices[0].name], "mutex::lock");
  EXPECT_EQ(t[t.slices[0].detail], "mutex \"index\"");
  EXPECT_EQ(t[t.slices[0].where], "a.cpp:7");
  ASSERT_EQ(t.flows.size(), 1U);
  EXPECT_EQ(t.flows[0].kind, flow_kind::wake);
  EXPECT_EQ(t.flows[0].from, 40);
}

TEST(trace_weave, what_begun_before_the_recording_or_was_overwritten) {
  const timeline t = woven({worker({{30, trace_kind::wait_end, 0x1, 0}, {60, trace_kind::task_end, 0x10, 0x20}}),
                            worker({{500, trace_kind::mark, text("m"), 3}, {600, trace_kind::unpark, 0xBB, 0}}, 7)});
  ASSERT_EQ(t.slices.size(), 3U);
  EXPECT_EQ(t.slices[0].begin, 0);
  EXPECT_EQ(t.slices[0].end, 60);
  EXPECT_EQ(t.slices[0].kind, slice_kind::task);
  EXPECT_EQ(t[t.slices[0].name], "(begun earlier)");
  EXPECT_EQ(t.slices[1].end, 30);
  EXPECT_EQ(t.slices[2].kind, slice_kind::park);
  EXPECT_EQ(t.slices[2].begin, 500);  // what was before is not known
  EXPECT_EQ(t.threads[1].begin, 500);
  EXPECT_EQ(t.threads[1].dropped, 7U);
}

TEST(trace_weave, what_goes_on_at_the_end_is_unfinished) {
  const timeline t = woven({worker({{30, trace_kind::task_begin, 0x10, 0}, {40, trace_kind::park, 0xAA, 0}})});
  ASSERT_EQ(t.slices.size(), 2U);
  for (const auto& slice : t.slices) {
    EXPECT_TRUE(slice.unfinished);
    EXPECT_EQ(slice.end, 1000);
  }
}

TEST(trace_weave, stolen_branches) {
  const timeline t = woven({worker({{10, trace_kind::task_begin, 0x10, text("sort")},
                                    {20, trace_kind::publish, 0x5, 0},
                                    {60, trace_kind::wait_begin, 0x5, text("fork_join")},
                                    {90, trace_kind::wait_end, 0x5, 0xAA},
                                    {91, trace_kind::join, 0x5, 0},
                                    {95, trace_kind::task_end, 0x10, 0x20}}),
                            worker({{25, trace_kind::steal, 0x5, 0},
                                    {26, trace_kind::branch_begin, 0x5, text("sort")},
                                    {88, trace_kind::branch_end, 0x5, 0}})});
  ASSERT_EQ(t.marks.size(), 2U);
  EXPECT_EQ(t.marks[0].kind, tutti::mark_kind::publish);
  EXPECT_EQ(t.marks[1].kind, tutti::mark_kind::steal);
  ASSERT_EQ(t.flows.size(), 2U);
  EXPECT_EQ(t.flows[0].kind, flow_kind::fork);
  EXPECT_EQ(t.flows[0].from, 20);
  EXPECT_EQ(t.flows[0].to, 26);
  EXPECT_EQ(t.flows[1].kind, flow_kind::join);
  EXPECT_EQ(t.flows[1].from, 87);
  EXPECT_EQ(t.flows[1].to, 91);
}

TEST(trace_weave, events_of_one_thread_are_never_at_once) {
  const timeline t = woven({worker({{10, trace_kind::task_begin, 0x10, 0},
                                    {10, trace_kind::task_end, 0x10, 1},
                                    {10, trace_kind::task_begin, 0x10, 0},
                                    {9, trace_kind::task_end, 0x10, 1}})});
  ASSERT_EQ(t.slices.size(), 2U);
  EXPECT_LT(t.slices[0].begin, t.slices[0].end);
  EXPECT_LT(t.slices[0].end, t.slices[1].begin);
  EXPECT_LT(t.slices[1].begin, t.slices[1].end);
}

// Submits one after the other share a look at the clock.
TEST(trace_weave, shared_submits_are_spread_over_the_time_until_the_next_look) {
  const timeline t = woven({outsider({{100, trace_kind::task_submit, 1, 0},
                                      {100, trace_kind::task_submit, 2, 0},
                                      {100, trace_kind::task_submit, 3, 0},
                                      {100, trace_kind::task_submit, 4, 0},
                                      {500, trace_kind::mark, text("m"), 0}}),
                            worker({{600, trace_kind::task_begin, 3, 0}, {610, trace_kind::task_end, 3, 1}}),
                            worker({{150, trace_kind::task_begin, 4, 0}, {160, trace_kind::task_end, 4, 1}})});
  ASSERT_EQ(t.flows.size(), 2U);
  EXPECT_EQ(t.flows[0].from, 149);  // before its effect
  EXPECT_EQ(t.flows[1].from, 300);
}

TEST(trace_weave, a_shared_submit_before_a_long_pause_was_as_late_as_it_can_have_been) {
  timeline made;
  tutti::detail::weave({outsider({{100, trace_kind::task_submit, 1, 0},
                                  {100, trace_kind::task_submit, 2, 0},
                                  {900'000, trace_kind::mark, text("m"), 0}}),
                        worker({{800'000, trace_kind::task_begin, 2, 0}, {800'100, trace_kind::task_end, 2, 1}})},
                       tick_scale(tick_pair{0, 0}, tick_pair{1'000'000, 1'000'000}), made);
  ASSERT_EQ(made.flows.size(), 1U);
  EXPECT_EQ(made.flows[0].from, 799'999);
}

TEST(trace_weave, sleepers_are_counted) {
  const timeline t = woven({worker({{10, trace_kind::park, 1, 0}, {30, trace_kind::unpark, 1, 0}}),
                            worker({{20, trace_kind::park, 2, 0}, {50, trace_kind::unpark, 2, 0}}),
                            worker({{25, trace_kind::count, text("queue"), static_cast<std::uint64_t>(-3)}})});
  std::vector<std::int64_t> asleep;
  for (const auto& c : t.counters) {
    if (t[c.name] == "workers asleep")
      asleep.push_back(c.value);
    else
      EXPECT_EQ(c.value, -3);
  }
  EXPECT_EQ(asleep, (std::vector<std::int64_t>{1, 2, 1, 0}));
}

}  // namespace
