// The analysis, on timelines with known answers.
#include <gtest/gtest.h>
#include <tutti/trace/trace_summary.hpp>

#include <sstream>
#include <string>

namespace {

using tutti::flow_kind;
using tutti::slice_kind;
using tutti::summarise;
using tutti::timeline;

class built {
 public:
  explicit built(std::int64_t duration) { t_.duration = duration; }
  std::uint32_t thread(const char* name, bool is_worker, std::int64_t begin = 0, std::int64_t end = -1) {
    timeline::thread made;
    made.name = name;
    made.is_worker = is_worker;
    made.begin = begin;
    made.end = end < 0 ? t_.duration : end;
    t_.threads.push_back(made);
    return static_cast<std::uint32_t>(t_.threads.size() - 1);
  }
  timeline::slice& slice(std::uint32_t thread, slice_kind kind, const char* name, std::int64_t begin,
                         std::int64_t end) {
    timeline::slice made;
    made.thread = thread;
    made.kind = kind;
    made.name = t_.add(name);
    made.begin = begin;
    made.end = end;
    t_.slices.push_back(made);
    return t_.slices.back();
  }
  void flow(flow_kind kind, std::uint32_t from_thread, std::int64_t from, std::uint32_t to_thread, std::int64_t to) {
    t_.flows.push_back({kind, from_thread, to_thread, from, to});
  }
  timeline& get() {
    t_.sort();
    return t_;
  }

 private:
  timeline t_;
};

std::string text_of(const tutti::trace_summary& s, std::size_t most_lines = 12) {
  std::ostringstream out;
  write_summary(s, out, most_lines);
  return out.str();
}

TEST(trace_summary, shares_of_a_worker_add_up) {
  built b(1000);
  const auto w = b.thread("w", true);
  b.slice(w, slice_kind::task, "a", 100, 400);
  b.slice(w, slice_kind::wait, "latch::wait", 200, 300);
  b.slice(w, slice_kind::task, "on top", 220, 270);
  b.slice(w, slice_kind::park, "", 500, 900);
  const auto s = summarise(b.get());
  ASSERT_EQ(s.threads.size(), 1U);
  EXPECT_EQ(s.threads[0].busy, 250);
  EXPECT_EQ(s.threads[0].waiting, 50);
  EXPECT_EQ(s.threads[0].idle, 400);
  EXPECT_EQ(s.threads[0].overhead, 300);
  EXPECT_EQ(s.threads[0].alive, 1000);
  EXPECT_EQ(s.threads[0].tasks, 2U);
  EXPECT_EQ(s.threads[0].parks, 1U);
  EXPECT_EQ(s.work, 250);
}

TEST(trace_summary, a_thread_outside_works_when_it_does_not_wait) {
  built b(1000);
  const auto main = b.thread("main", false, 100, 900);
  b.slice(main, slice_kind::wait, "future::get", 300, 500);
  const auto s = summarise(b.get());
  EXPECT_EQ(s.threads[0].busy, 600);
  EXPECT_EQ(s.threads[0].waiting, 200);
  EXPECT_EQ(s.threads[0].overhead, 0);
  EXPECT_EQ(s.span, 600);
}

// Two tasks of 300 that are independent, after 100 of main and before 50 more.
TEST(trace_summary, work_and_span_of_a_fan_out) {
  built b(1000);
  const auto main = b.thread("main", false, 0, 500);
  const auto w0 = b.thread("w0", true), w1 = b.thread("w1", true);
  b.slice(w0, slice_kind::task, "a", 110, 410);
  b.slice(w1, slice_kind::task, "b", 120, 420);
  b.slice(main, slice_kind::wait, "future::get", 100, 450);
  b.flow(flow_kind::submit, main, 100, w0, 110);
  b.flow(flow_kind::submit, main, 100, w1, 120);
  b.flow(flow_kind::join, w0, 409, main, 450);
  b.flow(flow_kind::join, w1, 419, main, 451);
  const auto s = summarise(b.get());
  EXPECT_EQ(s.work, 100 + 300 + 300 + 50);
  EXPECT_EQ(s.span, 100 + 299 + 50);  // a flow leaves a nanosecond before the end
  EXPECT_NEAR(s.parallelism(), 750.0 / 449.0, 1e-9);
}

TEST(trace_summary, a_chain_has_no_parallelism) {
  built b(1000);
  const auto w0 = b.thread("w0", true), w1 = b.thread("w1", true);
  b.slice(w0, slice_kind::task, "a", 0, 100);
  b.slice(w1, slice_kind::task, "b", 110, 210);
  b.slice(w0, slice_kind::task, "c", 220, 320);
  b.flow(flow_kind::submit, w0, 99, w1, 110);
  b.flow(flow_kind::submit, w1, 209, w0, 220);
  const auto s = summarise(b.get());
  EXPECT_EQ(s.work, 300);
  EXPECT_EQ(s.span, 298);
}

TEST(trace_summary, a_stolen_branch_runs_beside_its_task) {
  built b(1000);
  const auto w0 = b.thread("w0", true), w1 = b.thread("w1", true);
  b.slice(w0, slice_kind::task, "sort", 0, 400);
  b.slice(w0, slice_kind::wait, "fork_join", 200, 300);
  b.slice(w1, slice_kind::branch, "sort", 50, 290);
  b.flow(flow_kind::fork, w0, 20, w1, 50);
  b.flow(flow_kind::join, w1, 289, w0, 300);
  const auto s = summarise(b.get());
  EXPECT_EQ(s.work, 300 + 240);
  EXPECT_EQ(s.span, 20 + 239 + 100);
  EXPECT_EQ(s.threads[1].branches, 1U);
}

TEST(trace_summary, a_wait_goes_on_after_whoever_woke_it) {
  built b(1000);
  const auto w0 = b.thread("w0", true), w1 = b.thread("w1", true);
  b.slice(w0, slice_kind::task, "a", 0, 500);
  b.slice(w0, slice_kind::wait, "event::wait", 10, 300);
  b.slice(w1, slice_kind::task, "b", 0, 400);
  b.flow(flow_kind::wake, w1, 290, w0, 300);
  EXPECT_EQ(summarise(b.get()).span, 290 + 200);
}

TEST(trace_summary, a_coroutine_goes_on_after_itself_and_after_whoever_resumed_it) {
  built b(1000);
  const auto w0 = b.thread("w0", true), w1 = b.thread("w1", true);
  b.slice(w0, slice_kind::task, "co", 0, 100).detail = b.get().add("sleep_for");
  b.slice(w1, slice_kind::task, "other", 90, 120);
  b.slice(w1, slice_kind::task, "co", 150, 200).resumed = true;
  b.flow(flow_kind::resume, w1, 110, w1, 150);
  b.flow(flow_kind::go_on, w0, 99, w1, 150);
  const auto s = summarise(b.get());
  EXPECT_EQ(s.span, 99 + 50);
  ASSERT_EQ(s.names.size(), 2U);
  EXPECT_EQ(s.names[0].name, "co");
  EXPECT_EQ(s.names[0].count, 1U);
  EXPECT_EQ(s.names[0].total, 150);
  EXPECT_EQ(s.names[0].longest, 100);
  ASSERT_EQ(s.waits.size(), 1U);
  EXPECT_TRUE(s.waits[0].of_coroutines);
  EXPECT_EQ(s.waits[0].what, "sleep_for");
}

TEST(trace_summary, a_call_on_top_is_part_of_the_chain_and_a_task_on_top_is_not) {
  built b(1000);
  const auto w = b.thread("w", true);
  b.slice(w, slice_kind::task, "outer", 0, 400);
  b.slice(w, slice_kind::task, "called", 100, 200);  // by an inline executor
  EXPECT_EQ(summarise(b.get()).span, 400);
  built c(1000);
  const auto v = c.thread("w", true);
  c.slice(v, slice_kind::task, "outer", 0, 400);
  c.slice(v, slice_kind::task, "submitted", 100, 200);
  c.flow(flow_kind::submit, v, 50, v, 100);
  EXPECT_EQ(summarise(c.get()).span, 300);  // it could have run elsewhere at the same time
}

TEST(trace_summary, waking_a_worker_is_no_chain_of_work) {
  built b(1000);
  const auto w0 = b.thread("w0", true), w1 = b.thread("w1", true);
  b.slice(w0, slice_kind::task, "a", 0, 300);
  b.slice(w1, slice_kind::park, "", 0, 250);
  b.slice(w1, slice_kind::task, "b", 260, 360);
  b.flow(flow_kind::wake, w0, 240, w1, 250);
  b.flow(flow_kind::submit, w0, 10, w1, 260);
  EXPECT_EQ(summarise(b.get()).span, 300);
}

TEST(trace_summary, totals_per_name_and_longest_runs) {
  built b(10'000);
  const auto w = b.thread("w", true);
  for (int i = 0; i < 5; ++i) b.slice(w, slice_kind::task, "small", 100 * i, 100 * i + 10 + i);
  b.slice(w, slice_kind::task, "big", 1000, 3000);
  const auto s = summarise(b.get(), 2);
  ASSERT_EQ(s.names.size(), 2U);
  EXPECT_EQ(s.names[0].name, "big");
  EXPECT_EQ(s.names[1].count, 5U);
  EXPECT_EQ(s.names[1].total, 60);
  EXPECT_EQ(s.names[1].mean(), 12);
  EXPECT_EQ(s.names[1].longest, 14);
  ASSERT_EQ(s.longest.size(), 2U);
  EXPECT_EQ(s.longest[0].name, "big");
  EXPECT_EQ(s.longest[1].duration, 14);
  EXPECT_EQ(s.longest[1].begin, 400);
}

// A thousand small tasks and a loop, which has no name of its own either.
TEST(trace_summary, branches_are_counted_apart_from_the_tasks_of_their_name) {
  built b(1'000'000);
  const auto w0 = b.thread("w0", true), w1 = b.thread("w1", true);
  for (int i = 0; i < 1000; ++i) b.slice(w0, slice_kind::task, "task", 10 * i, 10 * i + 5);
  b.slice(w0, slice_kind::branch, "task", 20'000, 500'000);
  b.slice(w1, slice_kind::branch, "task", 20'000, 520'000);
  b.slice(w1, slice_kind::wait, "fork_join", 40'000, 140'000);
  const auto s = summarise(b.get());
  ASSERT_EQ(s.names.size(), 2U);
  EXPECT_TRUE(s.names[0].of_branches);
  EXPECT_EQ(s.names[0].count, 2U);
  EXPECT_EQ(s.names[0].total, 880'000);
  EXPECT_EQ(s.names[0].mean(), 440'000);
  EXPECT_EQ(s.names[0].longest, 480'000);
  EXPECT_FALSE(s.names[1].of_branches);
  EXPECT_EQ(s.names[1].count, 1000U);
  EXPECT_EQ(s.names[1].mean(), 5);
  EXPECT_EQ(s.names[1].longest, 5);
  const std::string said = text_of(s);
  EXPECT_NE(said.find("\ntask, stolen branches "), std::string::npos) << said;
  EXPECT_NE(said.find("longest work\n"), std::string::npos) << said;
  EXPECT_NE(said.find("\nlongest runs, their waits included "), std::string::npos) << said;
}

TEST(trace_summary, phases_are_summed_by_name) {
  built b(1000);
  const auto main = b.thread("main", false), w = b.thread("w", true);
  b.slice(main, slice_kind::span, "load", 0, 100);
  b.slice(w, slice_kind::span, "load", 200, 500);
  b.slice(main, slice_kind::span, "solve", 100, 900);
  b.slice(main, slice_kind::wait, "future::get", 150, 850);
  const auto s = summarise(b.get());
  ASSERT_EQ(s.phases.size(), 2U);
  EXPECT_EQ(s.phases[0].name, "solve");
  EXPECT_EQ(s.phases[0].total, 800);
  EXPECT_EQ(s.phases[1].name, "load");
  EXPECT_EQ(s.phases[1].count, 2U);
  EXPECT_EQ(s.phases[1].total, 400);
  EXPECT_EQ(s.phases[1].longest, 300);
  const std::string said = text_of(s);
  EXPECT_NE(said.find("\nphase "), said.npos) << said;
  EXPECT_LT(said.find("\nsolve "), said.find("\nload ")) << said;
  EXPECT_NE(said.find("\nload "), said.npos) << said;
}

TEST(trace_summary, without_phases_there_is_no_table_of_them) {
  built b(1000);
  b.slice(b.thread("w", true), slice_kind::task, "a", 0, 100);
  EXPECT_EQ(text_of(summarise(b.get())).find("\nphase "), std::string::npos);
}

TEST(trace_summary, waits_are_summed_by_reason) {
  built b(1000);
  const auto main = b.thread("main", false);
  const auto add = [&](std::int64_t begin, std::int64_t end, const char* target) {
    auto& wait = b.slice(main, slice_kind::wait, "mutex::lock", begin, end);
    wait.detail = b.get().add(target);
  };
  add(0, 10, "mutex \"a\"");
  add(20, 50, "mutex \"a\"");
  add(60, 200, "mutex \"b\"");
  const auto s = summarise(b.get());
  ASSERT_EQ(s.waits.size(), 2U);
  EXPECT_EQ(s.waits[0].target, "mutex \"b\"");
  EXPECT_EQ(s.waits[1].count, 2U);
  EXPECT_EQ(s.waits[1].total, 40);
  EXPECT_EQ(s.waits[1].longest, 30);
}

// Both take for ever where a stack is searched.
TEST(trace_summary, any_depth_of_nesting) {
  constexpr std::int64_t depth = 200'000;
  built nested(4 * depth);
  const auto w = nested.thread("w", true);
  nested.slice(w, slice_kind::task, "a", 0, 4 * depth);
  for (std::int64_t i = 1; i < depth; ++i) nested.slice(w, slice_kind::wait, "w", i, 4 * depth - i);
  const auto s = summarise(nested.get());
  EXPECT_EQ(s.threads[0].busy, 2);
  EXPECT_EQ(s.threads[0].waiting, 4 * depth - 2);

  // Half of the slices go on longer than the one below, and are gone with it, while the other half stay.
  built crossed(8 * depth);
  const auto v = crossed.thread("v", true);
  for (std::int64_t i = 0; i < depth; ++i) crossed.slice(v, slice_kind::wait, "w", i, 8 * depth - i);
  crossed.slice(v, slice_kind::task, "below", depth, 3 * depth);
  for (std::int64_t i = 1; i < depth; ++i) crossed.slice(v, slice_kind::wait, "w", depth + i, 3 * depth + i);
  const auto t = summarise(crossed.get());
  EXPECT_EQ(t.threads[0].busy, 1);
  EXPECT_EQ(t.threads[0].waiting, 8 * depth - 1);
  ASSERT_EQ(t.names.size(), 1U);
  EXPECT_EQ(t.names[0].total, 1);
}

// A loop is divided only while somebody wants more of it.
TEST(trace_summary, while_all_workers_are_busy_the_parallelism_is_a_lower_bound) {
  built b(1000);
  const auto main = b.thread("main", false, 0, 1000);
  const auto w0 = b.thread("pool/0", true), w1 = b.thread("pool/1", true);
  b.slice(b.thread("pool/2", true, 400, 450), slice_kind::task, "loop", 410, 420);  // for a while, for one that waits
  b.thread("pool/0", true);  // another pool, of the same name, which has nothing to do, takes no part
  b.slice(main, slice_kind::wait, "parallel_for", 10, 990);
  b.slice(w0, slice_kind::task, "loop", 20, 980);
  b.slice(w1, slice_kind::branch, "loop", 30, 970);
  b.flow(flow_kind::submit, main, 10, w0, 20);
  b.flow(flow_kind::fork, w0, 25, w1, 30);
  b.flow(flow_kind::join, w1, 969, w0, 979);
  const auto s = summarise(b.get());
  EXPECT_EQ(s.full.workers, 2U);
  EXPECT_EQ(s.full.total, 900);
  EXPECT_TRUE(s.is_lower_bound());
  const std::string said = text_of(s);
  EXPECT_NE(said.find("parallelism at least 1.99: as many threads were busy as there were workers, 2;"), said.npos)
      << said;
  EXPECT_EQ(said.find("no more processors"), said.npos) << said;
}

// It works in the place of one of the workers.
TEST(trace_summary, who_works_in_its_own_loop_counts_with_the_workers) {
  built b(1000);
  const auto main = b.thread("main", false);
  const auto w0 = b.thread("pool/0", true), w1 = b.thread("pool/1", true);
  b.slice(w0, slice_kind::branch, "loop", 10, 1000);
  b.slice(w1, slice_kind::park, "", 0, 1000);
  b.flow(flow_kind::fork, main, 5, w0, 10);
  const auto s = summarise(b.get());
  EXPECT_EQ(s.full.total, 990);
  EXPECT_EQ(s.full.workers, 2U);
  EXPECT_TRUE(s.is_lower_bound());
}

TEST(trace_summary, a_serial_part_as_long_as_the_loop_hides_it_no_less) {
  built b(1000);
  const auto main = b.thread("main", false, 0, 510);
  const auto w0 = b.thread("pool/0", true), w1 = b.thread("pool/1", true);
  b.slice(main, slice_kind::wait, "parallel_for", 500, 1000);
  b.slice(w0, slice_kind::task, "loop", 500, 1000);
  b.slice(w1, slice_kind::branch, "loop", 500, 1000);
  b.flow(flow_kind::submit, main, 500, w0, 500);
  b.flow(flow_kind::fork, w0, 500, w1, 500);
  const auto s = summarise(b.get());
  EXPECT_NEAR(s.parallelism(), 1.5, 1e-9);
  EXPECT_TRUE(s.is_lower_bound());
}

TEST(trace_summary, where_a_worker_had_nothing_to_take_no_more_of_them_are_of_use) {
  built b(1000);
  const auto w0 = b.thread("pool/0", true), w1 = b.thread("pool/1", true);
  b.slice(w0, slice_kind::task, "chain", 0, 450);
  b.slice(w1, slice_kind::task, "chain", 400, 900);
  b.flow(flow_kind::submit, w0, 399, w1, 400);
  const auto s = summarise(b.get());
  EXPECT_EQ(s.full.total, 50);
  EXPECT_FALSE(s.is_lower_bound());
  const std::string said = text_of(s);
  EXPECT_NE(said.find("parallelism 1.06, no more processors can be of use (an estimate)."), said.npos) << said;
}

TEST(trace_summary, of_nothing) {
  const auto s = summarise(timeline());
  EXPECT_EQ(s.work, 0);
  EXPECT_EQ(s.parallelism(), 0);
  std::ostringstream out;
  write_summary(s, out);
  EXPECT_NE(out.str().find("0 tasks"), std::string::npos);
  EXPECT_EQ(out.str().find("parallelism"), std::string::npos);
}

TEST(trace_summary, says_first_what_was_dropped) {
  built b(1000);
  b.slice(b.thread("w", true), slice_kind::task, "a", 0, 10);
  std::ostringstream whole;
  write_summary(summarise(b.get()), whole);
  EXPECT_NE(whole.str().find("critical path 10 ns: parallelism at least 1:"), std::string::npos);
  b.get().threads[0].dropped = 12;
  std::ostringstream out;
  write_summary(summarise(b.get()), out);
  EXPECT_TRUE(out.str().starts_with("WARNING: 12 events were dropped"));
  EXPECT_EQ(out.str().find("parallelism"), std::string::npos);
}

TEST(trace_summary, says_why_events_were_dropped_and_what_helps) {
  built b(1000);
  b.slice(b.thread("w", true), slice_kind::task, "a", 0, 10);
  b.get().dropped = 7;
  const std::string no_room = text_of(summarise(b.get()));
  EXPECT_TRUE(no_room.starts_with("WARNING: 7 events were dropped")) << no_room;
  EXPECT_NE(no_room.find("  7 were of more threads than there was room for"), no_room.npos) << no_room;
  EXPECT_NE(no_room.find("trace_options::max_threads"), no_room.npos) << no_room;
  EXPECT_NE(no_room.find("record by a trace_recorder in the program"), no_room.npos) << no_room;
  EXPECT_EQ(no_room.find("bytes_per_thread"), no_room.npos) << no_room;
  b.get().threads[0].dropped = 12;
  const std::string both = text_of(summarise(b.get()));
  EXPECT_TRUE(both.starts_with("WARNING: 19 events were dropped")) << both;
  EXPECT_NE(both.find("  7 were of more threads"), both.npos) << both;
  EXPECT_NE(both.find("  12 were overwritten"), both.npos) << both;
  EXPECT_NE(both.find("    w: 12\n"), both.npos) << both;
  b.get().dropped = 0;
  const std::string overwritten = text_of(summarise(b.get()));
  EXPECT_NE(overwritten.find("bytes_per_thread"), overwritten.npos) << overwritten;
  EXPECT_EQ(overwritten.find("max_threads"), overwritten.npos) << overwritten;
}

TEST(trace_summary, the_threads_that_worked_most_are_shown_first) {
  built b(1000);
  for (const char* name : {"idle one", "idle two", "idle three"}) b.thread(name, true);
  b.slice(b.thread("some", true), slice_kind::task, "a", 0, 100);
  b.slice(b.thread("most", true), slice_kind::task, "a", 0, 900);
  const std::string said = text_of(summarise(b.get()), 3);
  const std::size_t most = said.find("\nmost "), some = said.find("\nsome "), one = said.find("\nidle one ");
  EXPECT_LT(most, some) << said;
  EXPECT_LT(some, one) << said;
  EXPECT_NE(one, said.npos) << said;
  EXPECT_EQ(said.find("\nidle two "), said.npos) << said;
  EXPECT_NE(said.find("... and 2 more"), said.npos) << said;
}

TEST(trace_summary, tables_are_cut_and_say_so) {
  built b(100'000);
  const auto w = b.thread("w", true);
  for (int i = 0; i < 30; ++i)
    b.slice(w, slice_kind::task, ("task \x01 number " + std::to_string(i)).c_str(), 10 * i, 10 * i + 5);
  std::ostringstream out;
  write_summary(summarise(b.get()), out, 4);
  EXPECT_NE(out.str().find("... and 26 more"), std::string::npos);
  EXPECT_EQ(out.str().find('\x01'), std::string::npos);
}

}  // namespace
