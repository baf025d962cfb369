// Functions as tasks: sent to a worker of this process, and run in place by an eager app.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/function.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/this_call.hpp>

#include <boost/describe/class.hpp>

#include <atomic>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tests/support/cluster_client.hpp>
#include <vector>

namespace function_test {

int add(int a, int b) { return a + b; }
std::string repeat(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}
struct point {
  int x = 0, y = 0;
};
BOOST_DESCRIBE_STRUCT(point, (), (x, y))
point mirrored(const point& p) { return {p.y, p.x}; }
long total(std::span<const int> numbers, std::optional<long> start) {
  long all = start.value_or(0);
  for (const int n : numbers) all += n;
  return all;
}
std::atomic<int> noted{0};
void note(int n) { noted += n; }
tutti::task<int> later(int a) { co_return a * 10; }
int refuse(const std::string& why) { throw std::invalid_argument(why); }
int flaky(int failures) {
  if (tutti::cluster::this_call::retries() < failures) throw tutti::retryable("not yet");
  return tutti::cluster::this_call::retries();
}
struct own_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
int own_flaky(int failures) {
  if (tutti::cluster::this_call::retries() < failures) throw own_error("not yet");
  return tutti::cluster::this_call::retries();
}
struct labelled {
  std::string label;
  tutti::cluster::json what;
};
BOOST_DESCRIBE_STRUCT(labelled, (), (label, what))
using json_list = std::vector<tutti::cluster::json>;
json_list shuffled(const tutti::cluster::json& first, json_list rest, const labelled& last) {
  rest.push_back(first);
  rest.push_back(last.what);
  return rest;
}
tutti::cluster::json torn(int /*unused*/) { return {"[1"}; }
std::string who(int /*unused*/) { return tutti::cluster::this_call::task(); }

}  // namespace function_test

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using tutti_test::client_bench;
using tutti_test::message_of;

const function add{fn<function_test::add>, {.name = "test.add", .queue = "math", .params = {"a", "b"}}};
const function repeat{fn<function_test::repeat>, {.params = {"text", "times"}, .defaults = defaults(2)}};
const function mirrored{fn<function_test::mirrored>, {.name = "test.mirrored"}};
const function total{fn<function_test::total>, {.params = {"numbers", "start"}, .defaults = defaults(json{"null"})}};
const function note{fn<function_test::note>, {.name = "test.note"}};
const function torn{fn<function_test::torn>, {.name = "test.torn"}};
const function later{fn<function_test::later>, {.name = "test.later"}};
const function refuse{fn<function_test::refuse>, {.name = "test.refuse"}};
const function flaky{fn<function_test::flaky>, {.name = "test.flaky", .max_retries = 3, .retry_delay = 0ns}};
const function own_flaky{fn<function_test::own_flaky>,
                         {.name = "test.own_flaky", .retry_delay = 0ns, .retry_on = {on<function_test::own_error>}}};
const function product{named<"test.product", [](int a, int b) { return a * b; }>, {.params = {"a", "b"}}};
const function shuffled{fn<function_test::shuffled>, {.name = "test.shuffled"}};
const function who{fn<function_test::who>, {.name = "test.who"}};
const function quiet{named<"test.quiet", [](int a) { return a; }>, {.ignore_result = true}};

// The same behaviour, with a worker behind a broker and in place.
class Functions : public testing::TestWithParam<bool> {
 protected:
  client_bench bench_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Cluster, Functions, testing::Values(false, true),
                         [](const auto& of) { return of.param ? "eager" : "worker"; });

TEST_P(Functions, GiveTheirResult) {
  EXPECT_EQ(add.delay(2, 3).get(30s), 5);
  EXPECT_EQ(repeat.delay("ab", 3).get(30s), "ababab");
  EXPECT_EQ(product.delay(6, 7).get(30s), 42);
  EXPECT_EQ(later.delay(4).get(30s), 40);
  const std::vector<int> numbers{1, 2, 3};
  EXPECT_EQ(total.delay(numbers, 10).get(30s), 16);
  const auto p = mirrored.delay(function_test::point{1, 2}).get(30s);
  EXPECT_EQ(p.x, 2);
  EXPECT_EQ(add(2, 3), 5);
}

TEST_P(Functions, ReturnNothing) {
  function_test::noted = 0;
  note.delay(3).get(30s);
  EXPECT_EQ(function_test::noted, 3);
}

TEST_P(Functions, TakeArgumentsByNameAndLeaveOutThoseWithDefaults) {
  EXPECT_EQ(add.delay(2, kw("b", 3)).get(30s), 5);
  EXPECT_EQ(add.delay(kw("b", 3), kw("a", 1)).get(30s), 4);
  EXPECT_EQ(repeat.delay("x").get(30s), "xx");
  EXPECT_EQ(repeat.delay(kw("text", "y")).get(30s), "yy");
  EXPECT_EQ(total.delay(std::vector{1, 2}).get(30s), 3);
}

TEST_P(Functions, ThrowWhatTheTaskThrew) {
  const auto r = refuse.delay("no such thing");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { r.get(30s); }), "no such thing");
  EXPECT_EQ(r.look().state, "FAILURE");
  EXPECT_THAT(r.look().info, HasSubstr("no such thing"));
  EXPECT_TRUE(r.failed());
  EXPECT_TRUE(r.ready());
  EXPECT_EQ(r.state(), "FAILURE");
}

TEST_P(Functions, AreTriedAgain) {
  EXPECT_EQ(flaky.delay(2).get(30s), 2);
  EXPECT_EQ(own_flaky.delay(1).get(30s), 1);
  EXPECT_THROW(flaky.delay(100).get(30s), retryable);
}

TEST_P(Functions, RefuseArgumentsOfOthersThatDoNotFit) {
  const auto call = [](const auto&... arguments) {
    return message_of<argument_error>(
        [&] { static_cast<void>(send_task<int>("test.add", {.queue = "math"}, arguments...).get(30s)); });
  };
  EXPECT_THAT(call(1, "x"), AllOf(HasSubstr("test.add(a: int, b: int): argument 2 \"b\": wanted an integer from"),
                                  HasSubstr("found")));
  EXPECT_THAT(call(1), HasSubstr("argument 2 \"b\" is missing"));
  EXPECT_THAT(call(1, 2, 3), HasSubstr("takes 2 arguments, and got 3"));
  EXPECT_THAT(call(1, kw("c", 2)), HasSubstr("there is no parameter \"c\""));
  EXPECT_THAT(call(1, kw("a", 2)), HasSubstr("argument 1 \"a\" is given twice"));
}

TEST_P(Functions, AreKnownByWhatTheyAreCalled) {
  EXPECT_EQ(repeat.name(), "function_test.repeat");
  EXPECT_EQ(product.name(), "test.product");
  EXPECT_EQ(who.delay(1).get(30s), "test.who");
  ASSERT_NE(find_task("test.add"), nullptr);
  EXPECT_EQ(find_task("function_test.repeat")->signature, "function_test.repeat(text: std::string, times: int = 2)");
}

TEST_P(Functions, OfOthersAreSentByName) {
  EXPECT_EQ(send_task("test.add", {.queue = "math"}, 2, json{"3"}).get(30s), json{"5"});
  EXPECT_EQ(send_task<int>("test.add", {.queue = "math"}, 2, kw("b", 3)).get(30s), 5);
}

TEST_P(Functions, TakeAndGiveAnyJson) {
  const json object{R"({"a":[1,null,"x"]})"}, number{"2.5"};
  const auto typed = shuffled.delay(object, std::vector{number}, function_test::labelled{"l", json{"true"}});
  EXPECT_EQ(typed.get(30s), (std::vector{number, object, json{"true"}}));
  const auto untyped = send_task("test.shuffled", {}, json{" {}"}, std::vector{json{"[]"}},
                                 std::map<std::string, json>{{"label", json{"\"\""}}, {"what", json{"-1"}}});
  EXPECT_EQ(untyped.get(30s), json{"[[],{},-1]"});
  EXPECT_THROW(static_cast<void>(shuffled.delay(json{"["}, std::vector{number}, function_test::labelled())),
               encode_error);
}

// What is not one JSON value would change the message that it is put into.
TEST_P(Functions, TakeAndGiveNothingElse) {
  const json two{"1, 2"}, more{R"(1],"task":"test.who","args":[1)"};
  EXPECT_THROW(static_cast<void>(send_task("test.add", {}, two)), encode_error);
  EXPECT_THROW(static_cast<void>(send_task("test.add", {}, json{""}, 1)), encode_error);
  EXPECT_THROW(static_cast<void>(send_task("test.add", {}, 1, kw("b", json{R"(1,"c":true)"}))), encode_error);
  EXPECT_THROW(static_cast<void>(signature("test.add", more)), encode_error);
  const std::string header = more.text;
  EXPECT_THROW(static_cast<void>(send_task("test.add", {.headers = {{"h", header, true}}}, 1, 2)), encode_error);
  EXPECT_THAT(message_of<encode_error>([&] { static_cast<void>(send_task("test.who", {}, two)); }),
              HasSubstr("the text of a json at byte 1 of 4"));
  EXPECT_THAT(message_of<std::exception>([&] { static_cast<void>(torn.delay(1).get(30s)); }), HasSubstr("json"));
}

TEST_P(Functions, MayExpireNever) {
  EXPECT_EQ(add.apply_async({.expires = std::chrono::hours::max()}, 1, 2).get(30s), 3);
  EXPECT_EQ(add.apply_async({.countdown = std::chrono::nanoseconds::min()}, 1, 2).get(30s), 3);
  EXPECT_EQ(add.s(1, 2).set({.expires = std::chrono::nanoseconds::max()}).delay<int>().get(30s), 3);
}

TEST_P(Functions, WithoutResultCannotBeWaitedFor) {
  const auto r = quiet.delay(1);
  EXPECT_THAT(message_of<std::logic_error>([&] { r.get(); }), HasSubstr("ignore_result"));
  EXPECT_THROW(add.apply_async({.ignore_result = true}, 1, 2).get(), std::logic_error);
  const log_capture logged;
  EXPECT_THAT(message_of<std::logic_error>([&] { static_cast<void>(r.future()); }), HasSubstr("ignore_result"));
  EXPECT_THROW(static_cast<void>(r.then([](int) {})), std::logic_error);
  EXPECT_FALSE(logged.contains("dropped future")) << testing::PrintToString(logged.lines());
}

TEST_P(Functions, CallBack) {
  function_test::noted = 0;
  const auto r = add.apply_async({.link = note.s()}, 20, 22);
  EXPECT_EQ(r.get(30s), 42);
  EXPECT_TRUE(tutti_test::eventually([] { return function_test::noted == 42; }));
}

TEST_P(Functions, AreAwaited) {
  const auto body = []() -> task<int> {
    const auto first = add.delay(1, 2);
    const int sum = co_await first;
    co_return sum + co_await add.delay(10, 20);
  };
  EXPECT_EQ(sync_wait(body()), 33);
  EXPECT_EQ(add.delay(1, 2).then([](int sum) { return sum * 2; }).get(), 6);
  EXPECT_THROW(refuse.delay("so").future().get(), std::invalid_argument);
}

TEST(FunctionOptions, ThatMakeNoSenseAreRefused) {
  const auto made = [](task_settings options) {
    return message_of<std::invalid_argument>([&] { const function f(fn<function_test::add>, std::move(options)); });
  };
  EXPECT_THAT(made({.params = {"a"}}), HasSubstr(".params has 1 names, and the function takes 2 arguments"));
  EXPECT_THAT(made({.params = {"a", "a"}}), HasSubstr("twice"));
  EXPECT_THAT(made({.defaults = defaults(1, 2, 3)}), HasSubstr(".defaults has 3 values"));
  EXPECT_THAT(made({.priority = 10}), HasSubstr("priority 10 is not within 0 to 9"));
  EXPECT_THAT(made({.max_retries = -1}), HasSubstr("max_retries is negative"));
  EXPECT_THAT(made({.time_limit = 0s}), HasSubstr("time_limit is not positive"));
  EXPECT_THROW(function(fn<function_test::add>, {.defaults = defaults("x")}), argument_error);
}

TEST(SendOptions, ThatMakeNoSenseAreRefused) {
  const client_bench bench(true);
  EXPECT_THROW(static_cast<void>(add.apply_async({.priority = 10}, 1, 2)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(add.apply_async({.time_limit = 0s}, 1, 2)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(add.apply_async({.countdown = 1s, .eta = wall_time()}, 1, 2)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(add.delay(1)), argument_error);
  EXPECT_THROW(static_cast<void>(add.delay(1, kw("c", 2))), argument_error);
  EXPECT_THROW(static_cast<void>(add.delay(kw("a", 2), kw("a", 2))), std::invalid_argument);
}

TEST(Messages, SayWhatWasAsked) {
  const client_bench bench(false, false);
  const auto r = add.apply_async({.expires = 1min,
                                  .priority = 5,
                                  .queue = "slow",
                                  .headers = {{"traceparent", "00-1"}, {"n", "3", true}},
                                  .link = note.s(),
                                  .link_error = note.si(1),
                                  .id = "my-id",
                                  .time_limit = 2s,
                                  .soft_time_limit = 1s},
                                 2, 3);
  EXPECT_EQ(r.id(), "my-id");
  const auto waiting = bench.where().tasks()->peek("slow", 10);
  ASSERT_EQ(waiting.size(), 1U);
  const task_message m = decode_message(waiting[0]);
  EXPECT_EQ(m.task, "test.add");
  EXPECT_EQ(m.id, "my-id");
  EXPECT_EQ(m.root_id, "my-id");
  EXPECT_EQ(m.args, "[2,3]");
  EXPECT_EQ(m.priority, 5);
  EXPECT_EQ(m.queue, "slow");
  EXPECT_EQ(m.time_limit, 2.0);
  EXPECT_EQ(m.soft_time_limit, 1.0);
  EXPECT_EQ(m.headers.at("traceparent"), "\"00-1\"");
  EXPECT_EQ(m.headers.at("n"), "3");
  ASSERT_EQ(m.callbacks.size(), 1U);
  ASSERT_EQ(m.errbacks.size(), 1U);
  EXPECT_GT(m.expires.value(), std::chrono::system_clock::now());
  static_cast<void>(add.delay(1, 2));
  EXPECT_EQ(bench.where().tasks()->peek("math", 10).size(), 1U);
}

TEST(Messages, WaitForTheirTime) {
  client_bench bench(false, false);
  const auto r = add.apply_async({.countdown = 50ms}, 2, 3);
  bench.start_worker();
  EXPECT_EQ(r.get(30s), 5);
}

}  // namespace
}  // namespace tutti::cluster
