// The small parts of a worker, each by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/inside/worker/builtin_tasks.hpp>
#include <tutti/cluster/inside/worker/ending.hpp>
#include <tutti/cluster/inside/worker/job_queue.hpp>
#include <tutti/cluster/inside/worker/prefetch.hpp>
#include <tutti/cluster/inside/worker/rate_limits.hpp>
#include <tutti/cluster/inside/worker/revocations.hpp>
#include <tutti/cluster/inside/worker/task_run.hpp>
#include <tutti/cluster/inside/worker/time_limit.hpp>
#include <tutti/cluster/result_text.hpp>

#include <tutti/base/error.hpp>

#include <stdexcept>
#include <string>
#include <tests/support/cluster_worker.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

TEST(RateLimits, ReadsRates) {
  EXPECT_EQ(parse_rate(""), std::nullopt);
  EXPECT_EQ(parse_rate("0"), std::nullopt);
  EXPECT_EQ(parse_rate("0/m"), std::nullopt);
  EXPECT_EQ(parse_rate("10"), 100ms);
  EXPECT_EQ(parse_rate("10/s"), 100ms);
  EXPECT_EQ(parse_rate("60/m"), 1s);
  EXPECT_EQ(parse_rate("0.5/h"), 2h);
  for (const char* wrong : {"x", "1/d", "-1/s", "1/", "/s", "1/s ", "nan", "inf/s", "1e400/s"}) {
    EXPECT_THROW(static_cast<void>(parse_rate(wrong)), std::invalid_argument) << wrong;
  }
}

TEST(RateLimits, GivesTokensEvenly) {
  rate_limits limits;
  const rate_limits::time_point now(1h);
  const auto take = [&](const char* task, const char* rate, rate_limits::time_point when) {
    const auto turn = limits.take(task, rate, when, 2min);
    EXPECT_TRUE(turn.is_taken);
    return turn.begin;
  };
  EXPECT_EQ(take("free", "", now), now);
  EXPECT_EQ(take("a", "10/s", now), now);
  EXPECT_EQ(take("a", "10/s", now), now + 100ms);
  EXPECT_EQ(take("a", "10/s", now), now + 200ms);
  EXPECT_EQ(take("a", "10/s", now + 1h), now + 1h);
  limits.set("a", "1/m");
  EXPECT_EQ(take("a", "10/s", now), now);
  EXPECT_EQ(take("a", "10/s", now), now + 1min);
  limits.set("a", "");
  EXPECT_EQ(take("a", "10/s", now), now);
  EXPECT_THROW(limits.set("a", "often"), std::invalid_argument);
}

TEST(RateLimits, TakesNoTokenThatIsFarAhead) {
  rate_limits limits;
  const rate_limits::time_point now(1h);
  EXPECT_TRUE(limits.take("a", "1/m", now, 1s).is_taken);
  for (int i = 0; i < 3; ++i) {
    const auto turn = limits.take("a", "1/m", now, 1s);
    EXPECT_FALSE(turn.is_taken);
    EXPECT_EQ(turn.begin, now + 1min);
  }
  EXPECT_TRUE(limits.take("a", "1/m", now + 59s, 1s).is_taken);
  EXPECT_EQ(limits.take("a", "1/m", now + 59s, 1s).begin, now + 2min);
}

TEST(Revocations, ForgetTheOldest) {
  revocations all;
  const wall_time now = std::chrono::system_clock::now();
  EXPECT_FALSE(all.contains("x", now));
  all.add("x", now);
  all.add("x", now);
  EXPECT_TRUE(all.contains("x", now));
  EXPECT_FALSE(all.contains("x", now + revocations::kept));
  EXPECT_THAT(all.ids(now), ElementsAre("x"));
  for (std::size_t i = 0; i < revocations::most; ++i) all.add(std::to_string(i), now);
  EXPECT_FALSE(all.contains("x", now));
  EXPECT_THAT(all.ids(now), SizeIs(revocations::most));
}

TEST(Revocations, OutliveTheirOwner) {
  const wall_time now = std::chrono::system_clock::now();
  revocations first, second;
  first.add("a \"quoted\" one", now);
  first.add("old", now - 31 * 24h);
  second.merge(first.text());
  EXPECT_THAT(second.ids(now), ElementsAre("a \"quoted\" one"));
  for (const char* wrong :
       {"", "[]", "{\"a\": \"b\"}", "{\"a\": -5}", "{\"a\": 1e99}", "{\"a\": 99999999999999999999}", "no"}) {
    second.merge(wrong);
  }
  EXPECT_THAT(second.ids(now), SizeIs(1));
}

TEST(Prefetch, FollowsTheTimeThatTasksTake) {
  prefetch_size adaptive({}, 2);
  EXPECT_EQ(adaptive.get(), 0U);
  for (int i = 0; i < 100; ++i) adaptive.took(1us);
  EXPECT_EQ(adaptive.get(), prefetch_size::most);
  adaptive.too_many();
  EXPECT_EQ(adaptive.get(), 0U);
  for (int i = 0; i < 200; ++i) adaptive.took(9ms);
  EXPECT_EQ(adaptive.get(), 4U);
  for (int i = 0; i < 200; ++i) adaptive.took(1s);
  EXPECT_EQ(adaptive.get(), 0U);
  prefetch_size wide({}, 50);
  for (int i = 0; i < 100; ++i) wide.took(1us);
  wide.too_many();
  EXPECT_EQ(wide.get(), 0U);
  wide.took(1ms);
  EXPECT_GT(wide.get(), 0U);
  prefetch_size fixed(7, 2);
  fixed.took(1s);
  fixed.too_many();
  EXPECT_EQ(fixed.get(), 7U);
  EXPECT_FALSE(fixed.adapts());
}

job_ptr job_of(const std::string& id, std::optional<int> priority = {}) {
  auto one = std::make_shared<job>();
  one->message.id = id;
  one->from.priority = priority;
  return one;
}

TEST(JobQueue, HoldsAsManyAsItMay) {
  job_queue queue(2, 3);
  EXPECT_EQ(queue.limit(), 5U);
  EXPECT_EQ(queue.wait_for_room(0s), 5U);
  queue.put({job_of("a"), job_of("b"), job_of("c"), job_of("d"), job_of("e")});
  EXPECT_EQ(queue.wait_for_room(0s), 0U);
  EXPECT_EQ(queue.take(0)->message.id, "a");
  EXPECT_EQ(queue.take(1)->message.id, "b");
  EXPECT_EQ(queue.wait_for_room(0s), 0U);
  queue.done(0, 1s);
  EXPECT_EQ(queue.take(0)->message.id, "c");
  EXPECT_THAT(queue.running(), SizeIs(2));
  queue.done(0, 1s);
  EXPECT_EQ(queue.take(0)->message.id, "d");
  EXPECT_EQ(queue.wait_for_room(0s), 2U);
  queue.leaving(1000);
  EXPECT_EQ(queue.wait_for_room(0s), 0U);  // the broker takes nothing back
  queue.ended(1000);
  EXPECT_EQ(queue.wait_for_room(0s), 2U);
  EXPECT_THAT(queue.close(), SizeIs(1));
  EXPECT_EQ(queue.take(0), nullptr);
  EXPECT_EQ(queue.wait_for_room(0s), 0U);
}

TEST(JobQueue, WithoutPrefetchTakesOneForEachFreeSlot) {
  job_queue queue(1, 0);
  EXPECT_EQ(queue.wait_for_room(0s), 1U);
  queue.put({job_of("a")});
  EXPECT_EQ(queue.wait_for_room(0s), 0U);
  static_cast<void>(queue.take(0));
  EXPECT_EQ(queue.wait_for_room(0s), 0U);
  queue.done(0, 1ns);
  EXPECT_EQ(queue.wait_for_room(0s), 1U);
}

TEST(JobQueue, HandsOutTheMoreUrgentFirst) {
  job_queue queue(1, 10);
  queue.put({job_of("low", 0), job_of("none"), job_of("nine", 9), job_of("five", 5), job_of("five too", 5)});
  std::vector<std::string> order;
  while (const job_ptr one = queue.take(0, false)) {
    order.push_back(one->message.id);
    queue.done(0, 1ns);
  }
  EXPECT_THAT(order, ElementsAre("none", "nine", "five", "five too", "low"));
}

TEST(JobQueue, KeepsOneUntilItsTime) {
  job_queue queue(1, 10);
  const auto when = job_queue::clock::now() + 20ms;
  queue.put_later(job_of("later"), when);
  EXPECT_EQ(queue.next_look(when - 1ns), when);
  EXPECT_THAT(queue.waiting(), SizeIs(1));
  queue.put({job_of("now")});
  EXPECT_EQ(queue.take(0)->message.id, "now");
  queue.done(0, 1ns);
  EXPECT_EQ(queue.take(0)->message.id, "later");
  EXPECT_GE(job_queue::clock::now(), when);
  queue.done(0, 1ns);
  EXPECT_TRUE(queue.is_idle());
  queue.put_later(job_of("x"), when + 1h);
  EXPECT_THAT(queue.remove({"x"}), SizeIs(1));
}

TEST(JobQueue, HasNothingToLookAtWhileWhatIsDueWaitsForASlot) {
  job_queue queue(1, 10);
  queue.put({job_of("runs")});
  static_cast<void>(queue.take(0));
  queue.put_later(job_of("due"), job_queue::clock::now());
  EXPECT_EQ(queue.next_look(), std::nullopt);
  queue.done(0, 1ns);
  EXPECT_EQ(queue.take(0)->message.id, "due");
}

TEST(JobQueue, GivesUpWhatWaitsTooLong) {
  job_queue adaptive(1, {}), fixed(1, 5);
  const auto begin = job_queue::clock::now();
  for (job_queue* queue : {&adaptive, &fixed}) {
    queue->put({job_of("runs"), job_of("waits")});
    static_cast<void>(queue->take(0));
  }
  EXPECT_THAT(adaptive.take_stale(begin), IsEmpty());
  const auto late = job_queue::clock::now() + prefetch_size::patience;
  EXPECT_THAT(adaptive.take_stale(late), SizeIs(1));
  EXPECT_THAT(adaptive.take_stale(late), IsEmpty());
  EXPECT_THAT(fixed.take_stale(late), IsEmpty());
}

TEST(JobQueue, HoldsNothingForASlotThatIsLost) {
  job_queue queue(2, 2);
  queue.put({job_of("a"), job_of("b"), job_of("c"), job_of("d")});
  EXPECT_EQ(queue.take(0)->message.id, "a");
  EXPECT_THAT(queue.take_stale(), IsEmpty());
  queue.lose_slot();
  EXPECT_EQ(queue.wait_for_room(0s), 0U);
  const auto stale = queue.take_stale();  // a runs, two wait for its slot
  ASSERT_THAT(stale, SizeIs(1));
  EXPECT_EQ(stale[0]->message.id, "d");
  EXPECT_EQ(queue.wait_for_room(0s), 0U);
  queue.done(0, 1s);
  queue.lose_slot();
  EXPECT_THAT(queue.take_stale(), SizeIs(2));
  EXPECT_EQ(queue.wait_for_room(0s), 0U);  // not even those of the prefetch
  queue.regain_slot();
  EXPECT_EQ(queue.wait_for_room(0s), 3U);
  queue.regain_slot();
  EXPECT_EQ(queue.wait_for_room(0s), 4U);
}

TEST(JobQueue, LearnsOnlyFromWhatRan) {
  job_queue queue(1, {});
  queue.put({job_of("a"), job_of("b")});
  static_cast<void>(queue.take(0));
  queue.done(0, std::nullopt);
  EXPECT_EQ(queue.limit(), 1U);
  static_cast<void>(queue.take(0));
  queue.done(0, 1us);
  EXPECT_GT(queue.limit(), 1U);
}

std::string node(const std::string& id, const std::string& type, const std::string& kwargs,
                 const std::string& options = "") {
  return R"({"task": "t", "args": [], "kwargs": )" + kwargs + R"(, "options": {"task_id": ")" + id + '"' + options +
         R"(}, "subtask_type": )" + type + R"(, "immutable": false})";
}

TEST(Ending, ErrbacksOfAChordWhoseBodyIsAChainAreCalled) {
  const std::string link = R"(, "link_error": [)" + node("e", "null", "{}") + "]";
  const std::string chain = R"({"task": "celery.chain", "args": [], "kwargs": {"tasks": [)" +
                            node("b1", "null", "{}", link) + "," + node("b2", "null", "{}", link) +
                            R"(]}, "options": {}, "subtask_type": "chain", "immutable": false})";
  ending brings;
  end_chord(brings, {"g", 0, "p", "", chain}, {R"([1, "p", "FAILURE", {"exc_type": "E", "exc_message": ["x"]}])"},
            {"p", "root", {}}, {"q", std::chrono::seconds(1)});
  EXPECT_THAT(brings.results, SizeIs(2));
  ASSERT_THAT(brings.follow, SizeIs(1));
  EXPECT_EQ(decode_message(brings.follow.at(0).text).args, R"(["b2"])");
}

TEST(Ending, AGroupIsNoPartOfTheChordThatItsTasksAreOf) {
  const std::string in = R"(, "group_id": "g", "chord": {"task": "body"}, "group_index": 0)";
  task_message message;
  message.id = "first";
  message.chain = {node("all", "\"group\"",
                        R"({"tasks": [)" + node("a", "null", "{}", in) + "," + node("b", "null", "{}", in) + "]}", in)};
  ending brings;
  end_without_success(brings, message, nullptr, state::failure, celery_failure("ValueError", "x"),
                      {"q", std::chrono::seconds(1)});
  std::vector<std::string> ids;
  for (const chord_part& part : brings.parts) ids.push_back(part.id);
  EXPECT_THAT(ids, ElementsAre("a", "b"));
}

TEST(TimeLimit, KeepsNoTimerWaiting) {
  tutti_test::signal_gate other;
  bool has_waited = false;
  {
    timer second;
    tutti_test::signal_gate told;
    const time_limit limit(1ms, [&] {
      second = call_later(1ms, [&] { other.open(); });
      has_waited = other.wait();
      told.open();
    });
    EXPECT_TRUE(told.wait());
  }
  EXPECT_TRUE(has_waited);
  const time_limit none({}, [] { FAIL() << "there is no limit"; }), far(1h, [] { FAIL() << "it is not over"; });
}

TEST(RetryWait, DoublesUpToItsMostWithJitter) {
  task_settings settings{.retry_delay = 1s, .retry_delay_max = 10s};
  for (int i = 0; i < 100; ++i) {
    EXPECT_GE(retry_wait(settings, 0), 500ms);
    EXPECT_LE(retry_wait(settings, 0), 1s);
    EXPECT_GE(retry_wait(settings, 2), 2s);
    EXPECT_LE(retry_wait(settings, 2), 4s);
    EXPECT_LE(retry_wait(settings, 1'000'000), 10s);
  }
  settings.retry_jitter = false;
  EXPECT_EQ(retry_wait(settings, 3), 8s);
  EXPECT_EQ(retry_wait(settings, 4), 10s);
  settings.retry_backoff = false;
  EXPECT_EQ(retry_wait(settings, 9), 1s);
  settings.retry_delay = -1s;
  EXPECT_EQ(retry_wait(settings, 9), 0s);
}

class TaskRun : public testing::Test {
 protected:
  outcome run(std::function<std::string()> what, task_settings settings = {}, int retries = 0) {
    registered_task task;
    task.settings = std::move(settings);
    task.settings.name = "run_test.task";
    task.signature = "run_test.task(a)";
    task.run = [&](std::string_view, std::string_view) { return what(); };
    const task_registration known(task);
    task_message message;
    message.task = task.settings.name;
    message.id = "an-id";
    message.retries = retries;
    const std::stop_source stop;
    detail::call_context context;
    context.message = &message;
    context.stop = stop.get_token();
    return run_task(task, context, stop, 0s);
  }
};

TEST_F(TaskRun, OnlyAFailureWithinTheTaskHasAPlaceInIt) {
  const auto trace_of = [&](const std::string& why) {
    return run([&]() -> std::string { throw argument_error(why); }).failure.traceback;
  };
  EXPECT_THAT(trace_of("run_test.task(a): missing"), Not(HasSubstr("\n")));
  EXPECT_THAT(trace_of("called.by_it(a): missing"), HasSubstr("\n"));
}

TEST_F(TaskRun, AnotherAttemptIsForWhatMayGoWellThen) {
  const auto is_runtime = [](const std::exception& e) {
    return dynamic_cast<const std::runtime_error*>(&e) != nullptr;
  };
  const task_settings on_runtime{.retry_on = {is_runtime}};
  const auto runtime = []() -> std::string { throw std::runtime_error("x"); };
  EXPECT_EQ(run([] { return std::string("1"); }).kind, outcome_kind::success);
  EXPECT_EQ(run(runtime).kind, outcome_kind::failure);
  EXPECT_EQ(run(runtime, on_runtime).kind, outcome_kind::retry);
  EXPECT_EQ(run(runtime, on_runtime, 3).kind, outcome_kind::failure);
  EXPECT_EQ(run([]() -> std::string { throw std::logic_error("x"); }, on_runtime).kind, outcome_kind::failure);
  EXPECT_EQ(run([]() -> std::string { throw 1; }, on_runtime).kind, outcome_kind::failure);
  EXPECT_EQ(run([]() -> std::string { throw cancelled("x"); }, on_runtime).kind, outcome_kind::failure);
  EXPECT_EQ(run([]() -> std::string { throw worker_lost("x"); }).kind, outcome_kind::retry);
}

TEST_F(TaskRun, ATaskThatAsksForMoreThanItHasFailsWithItsError) {
  const auto ask = []() -> std::string {
    try {
      throw retryable("the cause");
    } catch (const std::exception&) {
      this_call::retry({.countdown = 5s, .max_retries = 1});
    }
  };
  const outcome first = run(ask);
  EXPECT_EQ(first.kind, outcome_kind::retry);
  EXPECT_EQ(std::chrono::nanoseconds(first.wait), 5s);
  EXPECT_THAT(first.failure.args, testing::HasSubstr("the cause"));
  const outcome second = run(ask, {}, 1);
  EXPECT_EQ(second.kind, outcome_kind::failure);
  EXPECT_THAT(second.failure.args, testing::HasSubstr("the cause"));
  const outcome none = run([]() -> std::string { this_call::retry(); }, {.max_retries = 0});
  EXPECT_EQ(none.kind, outcome_kind::failure);
  EXPECT_THROW(std::rethrow_exception(restore_failure(none.failure)), error);
  // A handler of the task's own does not catch the request.
  EXPECT_EQ(run([]() -> std::string {
              try {
                this_call::retry();
              } catch (const std::exception&) {
                return "\"caught\"";
              }
            }).kind,
            outcome_kind::retry);
}

TEST_F(TaskRun, AskedByATaskThatAnotherOneCallsTheOtherOnesRetriesCount) {
  registered_task inner;
  inner.settings = {.name = "parts.asks", .max_retries = {}};
  inner.run = [](std::string_view, std::string_view) -> std::string { this_call::retry(); };
  const task_registration entered(inner);
  task_message message;
  message.task = "celery.map";
  message.id = "i";
  message.args = R"([{"task": "parts.asks"}, [1]])";
  const auto kind = [&](int retries) {
    message.retries = retries;
    const std::stop_source stop;
    detail::call_context context;
    context.message = &message;
    return run_task(*find_builtin("celery.map"), context, stop, 0ns).kind;
  };
  EXPECT_EQ(kind(2), outcome_kind::retry);
  EXPECT_EQ(kind(3), outcome_kind::failure);
}

TEST(BuiltinTasks, AccumulateAndMap) {
  EXPECT_EQ(find_builtin("tasks.other"), nullptr);
  EXPECT_EQ(find_builtin("celery.other"), nullptr);
  const registered_task* const accumulate = find_builtin("celery.accumulate");
  ASSERT_NE(accumulate, nullptr);
  EXPECT_EQ(accumulate->run("[1,2]", "{}"), "[1,2]");
  EXPECT_EQ(accumulate->run("[1,2]", R"({"index": 1})"), "2");
  EXPECT_EQ(accumulate->run("[1,2]", R"({"index": -2})"), "1");
  EXPECT_THROW(static_cast<void>(accumulate->run("[1,2]", R"({"index": 2})")), argument_error);
  const registered_task* const map = find_builtin("celery.map");
  EXPECT_THROW(static_cast<void>(map->run("[]", "{}")), argument_error);
  EXPECT_THROW(static_cast<void>(map->run(R"([{"task": "nobody"}, []])", "{}")), not_registered);
  EXPECT_EQ(find_builtin("celery.backend_cleanup")->run("[]", "{}"), "null");
}

}  // namespace
}  // namespace tutti::cluster
