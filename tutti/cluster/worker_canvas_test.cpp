// Workers: what comes after a task, and what no longer can.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/canvas_plan.hpp>
#include <tutti/cluster/this_call.hpp>
#include <tutti/cluster/worker.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>

#include <array>
#include <atomic>
#include <random>
#include <stdexcept>
#include <tests/support/cluster_worker.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using tutti_test::cluster_bench;
using tutti_test::eventually;
using tutti_test::running_worker;
using tutti_test::signature;

std::string named(const std::string& type, const std::string& kwargs, const std::string& options = "{}") {
  return R"({"task": "celery.)" + type + R"(", "args": [], "kwargs": )" + kwargs + R"(, "options": )" + options +
         R"(, "subtask_type": ")" + type + R"(", "immutable": false})";
}
std::string tasks_of(const std::vector<std::string>& members) { return R"({"tasks": )" + join_array(members) + "}"; }
std::string chain(const std::vector<std::string>& parts) { return named("chain", tasks_of(parts)); }
std::string group(const std::vector<std::string>& members) { return named("group", tasks_of(members)); }
std::string chord(const std::vector<std::string>& header, const std::string& body) {
  return named("chord", R"({"header": )" + group(header) + R"(, "body": )" + body + R"(, "kwargs": {}})");
}

class WorkerCanvas : public testing::Test {
 protected:
  WorkerCanvas() {
    bench_.task("sum", [](const std::vector<std::string>& args) {
      long all = 0;
      for (const std::string& a : args) {
        for (const std::string& part : a.starts_with('[') ? array_parts(a) : std::vector{a}) all += std::stol(part);
      }
      return std::to_string(all);
    });
    bench_.task("fail", [](const auto&) -> std::string { throw std::invalid_argument("on purpose"); });
    bench_.task("note", [this](const std::vector<std::string>& args) {
      const std::lock_guard lock(mutex_);
      notes_.push_back(args.at(0));
      traces_.push_back(this_call::header("traceparent").value_or(""));
      return args[0];
    });
  }

  // As a client sends it: the id of its result.
  std::string start(const std::string& what, const plan_context& where = {}) {
    const send_plan plan = plan_signature(what, where, "celery");
    for (const auto& [id, size] : plan.chords) bench_.app().results()->begin_chord(id, size);
    for (const task_message& m : plan.messages) bench_.send(m);
    return plan.id;
  }
  std::vector<std::string> notes() {
    const std::lock_guard lock(mutex_);
    return notes_;
  }
  bool is_all_done() { return bench_.left() == 0; }

  cluster_bench bench_;
  running_worker one_{bench_, {.concurrency = 1}}, other_{bench_, {.concurrency = 2}};
  std::mutex mutex_;
  std::vector<std::string> notes_, traces_;
};

TEST_F(WorkerCanvas, SendsCallbacksWithTheResult) {
  task_message m = bench_.message("sum", "[2, 3]");
  m.callbacks = {signature("note"), signature("sum", "[10]", R"({"task_id": "callback-id"})")};
  m.headers["traceparent"] = "\"00-aa-bb-01\"";
  bench_.send(m);
  EXPECT_EQ(bench_.await("callback-id").result, "15");
  ASSERT_TRUE(eventually([&] { return notes().size() == 1 && is_all_done(); }));
  EXPECT_THAT(notes(), ElementsAre("5"));
  EXPECT_THAT(traces_, ElementsAre("\"00-aa-bb-01\""));
  const task_result r = bench_.await(m.id);
  ASSERT_THAT(r.children, SizeIs(2));
  EXPECT_THAT(r.children[1], HasSubstr("callback-id"));
  EXPECT_EQ(bench_.await("callback-id").parent_id, m.id);
}

TEST_F(WorkerCanvas, SendsErrbacksWithTheIdOfWhatFailed) {
  task_message m = bench_.message("fail");
  m.errbacks = {signature("note")};
  m.callbacks = {signature("note")};
  bench_.send(m);
  EXPECT_EQ(bench_.await(m.id).status, "FAILURE");
  ASSERT_TRUE(eventually([&] { return notes().size() == 1 && is_all_done(); }));
  EXPECT_THAT(notes(), ElementsAre(json_string(m.id)));
}

TEST_F(WorkerCanvas, GoesThroughChains) {
  EXPECT_EQ(
      bench_.await(start(chain({signature("sum", "[1, 2]"), signature("sum", "[10]"), signature("sum", "[100]")})))
          .result,
      "113");
}

TEST_F(WorkerCanvas, EndsAChainWithTheFirstFailure) {
  const std::string last =
      start(chain({signature("sum", "[1]"), signature("fail"), signature("sum"), signature("sum")}));
  const task_result r = bench_.await(last);
  EXPECT_EQ(r.status, "FAILURE");
  ASSERT_TRUE(r.failure);
  EXPECT_EQ(r.failure->type, "ValueError");
  EXPECT_TRUE(eventually([&] { return is_all_done(); }));
}

TEST_F(WorkerCanvas, CompletesChords) {
  std::vector<std::string> header;
  for (int i = 1; i <= 20; ++i) header.push_back(signature("sum", "[" + std::to_string(i) + "]"));
  EXPECT_EQ(bench_.await(start(chord(header, signature("sum", "[1000]")))).result, "1210");
  EXPECT_EQ(bench_.await(start(chord({signature("sum", "[7]")}, signature("note")))).result, "[7]");
  EXPECT_TRUE(eventually([&] { return is_all_done(); }));
}

TEST_F(WorkerCanvas, FailsAChordOfWhichAPartFails) {
  const std::string id = start(chord({signature("sum", "[1]"), signature("fail"), signature("sum", "[2]")},
                                     signature("sum", "[]", R"({"link_error": [)" + signature("note") + "]}")));
  const task_result r = bench_.await(id);
  EXPECT_EQ(r.status, "FAILURE");
  ASSERT_TRUE(r.failure);
  EXPECT_EQ(r.failure->type, "ChordError");
  EXPECT_THAT(r.failure->args, testing::AllOf(HasSubstr("raised"), HasSubstr("on purpose")));
  ASSERT_TRUE(eventually([&] { return notes().size() == 1 && is_all_done(); }));
  EXPECT_THAT(notes(), ElementsAre(json_string(id)));
}

TEST_F(WorkerCanvas, SendsTheErrbacksOfAllThatABodyIsMadeOf) {
  const auto told_of = [](const std::string& id, const std::string& errback) {
    return signature("sum", "[]",
                     R"({"task_id": ")" + id + R"(", "link_error": [)" + signature("note", errback) + "]}");
  };
  const std::string members = group({told_of("a", "[]"), told_of("b", "[]"), told_of("c", "[3]")});
  for (const std::string& body : {members, chain({signature("sum", "[1]"), members})}) {
    start(chord({signature("fail")}, body));
    for (const char* const id : {"a", "b", "c"}) EXPECT_EQ(bench_.await(id).failure->type, "ChordError");
    ASSERT_TRUE(eventually([&] { return notes().size() == 2 && is_all_done(); }));
    EXPECT_THAT(notes(), testing::UnorderedElementsAre(R"("a")", R"("c")"));
    const std::lock_guard lock(mutex_);
    notes_.clear();
    bench_.app().results()->forget(std::vector<std::string>{"a", "b", "c"});
  }
  start(chord({signature("fail")}, chain({told_of("first", "[]"), signature("sum", "[]", R"({"task_id": "last"})")})));
  ASSERT_TRUE(eventually([&] { return notes().size() == 1 && is_all_done(); }));
  EXPECT_THAT(notes(), ElementsAre(R"("last")"));
}

TEST_F(WorkerCanvas, CompletesChordsOfChainsAndChordsInChords) {
  const std::string inner = chord({signature("sum", "[1]"), signature("sum", "[2]")}, signature("sum"));
  const std::string through = chain({signature("sum", "[5]"), signature("sum", "[6]")});
  EXPECT_EQ(bench_.await(start(chord({inner, through, signature("sum", "[100]")}, signature("sum")))).result, "114");
  // A chord as a step of a chain, and as the body of another.
  EXPECT_EQ(bench_
                .await(start(chain({signature("sum", "[1]"),
                                    chord({signature("sum", "[1]"), signature("sum", "[2]")}, signature("sum")),
                                    signature("sum", "[1000]")})))
                .result,
            "1005");
  EXPECT_TRUE(eventually([&] { return is_all_done(); }));
}

TEST_F(WorkerCanvas, FailsWhatWaitsForAChordInAChordThatFails) {
  const std::string inner = chord({signature("sum", "[1]"), signature("fail")}, signature("sum"));
  const std::string id = start(chord({inner, signature("sum", "[100]")}, signature("sum")));
  const task_result r = bench_.await(id);
  EXPECT_EQ(r.status, "FAILURE");
  ASSERT_TRUE(r.failure);
  EXPECT_EQ(r.failure->type, "ChordError");
  EXPECT_TRUE(eventually([&] { return is_all_done(); }));
}

TEST_F(WorkerCanvas, EndsAChainBeforeAChord) {
  const std::string id =
      start(chain({signature("fail"), chord({signature("sum", "[1]"), signature("sum", "[2]")}, signature("sum")),
                   signature("sum", "[1]")}));
  EXPECT_EQ(bench_.await(id).status, "FAILURE");
  EXPECT_TRUE(eventually([&] { return is_all_done(); }));
}

TEST_F(WorkerCanvas, TakesTheNameOfATaskForACallOfIt) {
  task_message m = bench_.message("sum", "[2, 3]");
  m.callbacks = {R"("note")"};
  bench_.send(decode_message(encode_message(m)));
  task_message bad = bench_.message("fail");
  bad.errbacks = {R"("note")"};
  bench_.send(decode_message(encode_message(bad)));
  ASSERT_TRUE(eventually([&] { return notes().size() == 2 && is_all_done(); }));
  EXPECT_THAT(notes(), testing::UnorderedElementsAre("5", json_string(bad.id)));
}

TEST_F(WorkerCanvas, SendsChunksAsAGroup) {
  const std::string chunks =
      R"({"task": "celery.chunks", "args": [], "kwargs": {"task": )" + signature("sum") +
      R"(, "it": [[1, 2], [3, 4], [5]], "n": 2}, "options": {"queue": "celery"}, "subtask_type": null, "immutable": true})";
  EXPECT_EQ(bench_.await(start(chain({signature("sum", "[1]"), chunks, signature("note")}))).result, "[[3,7],[5]]");
  EXPECT_THROW(static_cast<void>(plan_signature(R"({"task": "celery.chunks", "kwargs": {"it": [], "n": 0}})", {}, "q")),
               decode_error);
}

// A chord that Celery has numbered bears its header's number, and its body its own.
TEST_F(WorkerCanvas, KeepsTheNumbersOfAChordOfCelerys) {
  const std::string header =
      named("group", tasks_of({signature("sum", "[1]"), signature("sum", "[2]")}), R"({"task_id": "the-header"})");
  const std::string body = signature("sum", "[]", R"({"task_id": "the-body"})");
  const std::string chord = named("chord", R"({"header": )" + header + R"(, "body": )" + body + R"(, "kwargs": {}})",
                                  R"({"task_id": "the-header"})");
  task_message m = bench_.message("sum", "[10]");
  m.chain = {chord};
  bench_.send(m);
  EXPECT_EQ(bench_.await("the-body").result, "23");
  EXPECT_EQ(plan_signature(chord, {}, "q").id, "the-body");
  plan_context named_by_caller;
  named_by_caller.id = "wanted";
  EXPECT_EQ(plan_signature(chord, named_by_caller, "q").id, "wanted");
}

// Celery's workers end what comes after a failure by the ids in the options.
TEST_F(WorkerCanvas, NumbersChordsInChainsByTheirBodies) {
  const send_plan plan = plan_signature(
      chain({signature("sum", "[1]"), chord({signature("sum")}, chain({signature("sum"), signature("sum")}))}), {},
      "q");
  ASSERT_THAT(plan.messages, SizeIs(1));
  ASSERT_THAT(plan.messages[0].chain, SizeIs(1));
  EXPECT_THAT(plan.messages[0].chain[0], testing::EndsWith(R"("options":{"task_id":")" + plan.id +
                                                           R"("},"subtask_type":"chord","immutable":false})"));
}

TEST_F(WorkerCanvas, FailsATaskWhoseCallbackCannotBeSent) {
  task_message m = bench_.message("sum", "[1]");
  m.callbacks = {R"({"no": "signature"})"};
  m.errbacks = {R"({"no": "signature"})", signature("note")};
  const log_capture said;
  bench_.send(m);
  EXPECT_EQ(bench_.await(m.id).status, "FAILURE");
  ASSERT_TRUE(eventually([&] { return notes().size() == 1 && is_all_done(); }));
  EXPECT_TRUE(said.contains("an errback cannot be sent"));
}

TEST_F(WorkerCanvas, FailsAChordWhoseBodyCannotBeSent) {
  task_message m = bench_.message("sum", "[1]");
  m.group = "a-group";
  m.group_index = 0;
  m.chord = R"({"task": 3, "options": {"task_id": "the-body"}})";
  bench_.app().results()->begin_chord("a-group", 1);
  bench_.send(m);
  const task_result r = bench_.await("the-body");
  EXPECT_EQ(r.status, "FAILURE");
  EXPECT_EQ(bench_.await(m.id).status, "SUCCESS");
  EXPECT_TRUE(eventually([&] { return is_all_done(); }));
}

// Every canvas ends as one that is evaluated in place does.
TEST_F(WorkerCanvas, AgreesWithWhatACanvasMeans) {
  std::mt19937 random(static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed() + 7));
  const auto pick = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  struct made {
    std::string what;
    std::function<std::optional<long>(std::optional<long>)> means;  // nothing: it fails
  };
  const std::function<made(int)> canvas = [&](int depth) -> made {
    const int kind = depth == 0 ? 0 : pick(4);
    if (kind == 1) {
      std::vector<made> parts;
      std::vector<std::string> texts;
      for (int n = 2 + pick(2); n > 0; --n) {
        parts.push_back(canvas(depth - 1));
        texts.push_back(parts.back().what);
      }
      return {chain(texts), [parts](std::optional<long> in) {
                for (const made& p : parts) {
                  in = p.means(in);
                  if (!in) break;
                }
                return in;
              }};
    }
    if (kind == 2) {
      std::vector<made> parts;
      std::vector<std::string> texts;
      for (int n = 1 + pick(3); n > 0; --n) {
        parts.push_back(canvas(depth - 1));
        texts.push_back(parts.back().what);
      }
      return {chord(texts, signature("sum")), [parts](std::optional<long> in) -> std::optional<long> {
                long all = 0;
                for (const made& p : parts) {
                  const auto one = p.means(in);
                  if (!one) return {};
                  all += *one;
                }
                return all;
              }};
    }
    if (pick(25) == 0) return {signature("fail"), [](auto) { return std::optional<long>(); }};
    const long n = pick(100);
    return {signature("sum", "[" + std::to_string(n) + "]"),
            [n](std::optional<long> in) { return std::optional<long>(in.value_or(0) + n); }};
  };
  std::vector<std::pair<std::string, std::optional<long>>> expected;
  for (int i = 0; i < 60; ++i) {
    const made one = canvas(3);
    expected.emplace_back(start(one.what), one.means(0));
  }
  for (const auto& [id, value] : expected) {
    const task_result r = bench_.await(id);
    if (value) {
      EXPECT_EQ(r.status, "SUCCESS");
      EXPECT_EQ(r.result, std::to_string(*value));
    } else {
      EXPECT_EQ(r.status, "FAILURE");
    }
  }
  EXPECT_TRUE(eventually([&] { return is_all_done(); }));
}

}  // namespace
}  // namespace tutti::cluster
