// Signatures: chains, groups and chords, nested at will, against what they mean, with a worker and in place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/function.hpp>

#include <tutti/base/error.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <tests/support/cluster_client.hpp>
#include <vector>

namespace signature_test {

using namespace std::chrono_literals;

long plus(long a, long b) { return a + b; }
long sum(const std::vector<long>& all) { return std::accumulate(all.begin(), all.end(), 0L); }
std::vector<long> same(const std::vector<long>& all) { return all; }
long fail(long a) { throw std::out_of_range("failed at " + std::to_string(a)); }
std::string failed_id;
std::atomic<int> failures{0};
long say(long a) { return a; }
void note_failure(const std::string& id) {
  failed_id = id;
  ++failures;
}

// Tasks that wait for another one, which has a queue of its own.
tutti::cluster::async_result<long> call_another(long a) {
  return tutti::cluster::signature("canvas.plus", a, 1).set({.queue = "another"}).delay<long>();
}
long waits(long a) { return call_another(a).get(30s); }
long waits_for_all(long a) {
  const tutti::cluster::signature one("canvas.plus", a, 1);
  return tutti::cluster::group(one.set({.queue = "another"})).delay<long>().get(30s).at(0);
}
tutti::task<long> awaits(long a) {
  const auto another = call_another(a);
  co_return co_await another;
}
long insists(long a) { return call_another(a).future().get(); }
long reads(const std::string& id) { return tutti::cluster::result<long>(id).get(30s); }

}  // namespace signature_test

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using tutti_test::client_bench;
using tutti_test::eventually;
using tutti_test::message_of;

const function plus{fn<signature_test::plus>, {.name = "canvas.plus", .params = {"a", "b"}}};
const function sum{fn<signature_test::sum>, {.name = "canvas.sum"}};
const function same{fn<signature_test::same>, {.name = "canvas.same"}};
const function fail{fn<signature_test::fail>, {.name = "canvas.fail"}};
const function say{fn<signature_test::say>, {.name = "canvas.say", .ignore_result = true}};
const function note_failure{fn<signature_test::note_failure>, {.name = "canvas.note_failure"}};

const function waits{fn<signature_test::waits>, {.name = "canvas.waits"}};
const function waits_for_all{fn<signature_test::waits_for_all>, {.name = "canvas.waits_for_all"}};
const function awaits{fn<signature_test::awaits>, {.name = "canvas.awaits"}};
const function insists{fn<signature_test::insists>, {.name = "canvas.insists"}};
const function reads{fn<signature_test::reads>, {.name = "canvas.reads"}};

class Signatures : public testing::TestWithParam<bool> {
 protected:
  client_bench bench_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Cluster, Signatures, testing::Values(false, true),
                         [](const auto& of) { return of.param ? "eager" : "worker"; });

TEST_P(Signatures, AreCalls) {
  EXPECT_EQ(plus.s(2, 3).delay<long>().get(30s), 5);
  EXPECT_EQ(plus.s(3).delay<long>(2).get(30s), 5);
  EXPECT_EQ(plus.s(kw("b", 3)).delay<long>(2).get(30s), 5);
  EXPECT_EQ(plus.s(2).delay<long>(kw("b", 4)).get(30s), 6);
  EXPECT_EQ(plus.si(2, 3).delay<long>(100).get(30s), 5);
  EXPECT_EQ(signature("canvas.plus", 2, 3).delay().get(30s), json{"5"});
}

TEST_P(Signatures, InAChainGoOn) {
  const auto r = (plus.s(2, 2) | plus.s(4) | plus.s(8)).delay<long>();
  EXPECT_EQ(r.get(30s), 16);
  EXPECT_EQ(chain(plus.s(1), plus.s(2)).delay<long>(10).get(30s), 13);
  EXPECT_EQ((plus.s(2, 2) | plus.si(1, 1)).delay<long>().get(30s), 2);
  std::vector<signature> many{plus.s(0, 0)};
  for (int i = 0; i < 200; ++i) many.push_back(plus.s(1));
  EXPECT_EQ(chain(many).delay<long>().get(30s), 200);
}

TEST_P(Signatures, InAGroupRunAtOnce) {
  const auto r = group(plus.s(1, 1), plus.s(2, 2), plus.s(3, 3)).delay<long>();
  EXPECT_EQ(r.size(), 3U);
  EXPECT_THAT(r.get(30s), ElementsAre(2, 4, 6));
  EXPECT_EQ(r[1].get(30s), 4);
  EXPECT_EQ(r.completed(), 3U);
  EXPECT_THAT(r.states(), ElementsAre("SUCCESS", "SUCCESS", "SUCCESS"));
  EXPECT_TRUE(r.ready());
  EXPECT_EQ(r.state(), "SUCCESS");
  EXPECT_THAT(group(plus.s(5)).delay<long>(1).get(30s), ElementsAre(6));
  EXPECT_THAT(r.all().future().get(), ElementsAre(2, 4, 6));
}

TEST_P(Signatures, InAChordMeet) {
  EXPECT_EQ(chord({plus.s(1, 1), plus.s(2, 2)}, sum.s()).delay<long>().get(30s), 6);
  EXPECT_EQ((group(plus.s(1, 1), plus.s(2, 2)) | sum.s()).delay<long>().get(30s), 6);
  EXPECT_EQ((group(plus.s(1), plus.s(2)) | sum.s() | plus.s(100)).delay<long>(10).get(30s), 123);
  EXPECT_EQ(chord({plus.s(7, 7)}, sum.s()).delay<long>().get(30s), 14);
}

TEST_P(Signatures, WhoseResultIsIgnoredAreNotWaitedFor) {
  const auto refused = [](const auto& sent) {
    return message_of<std::logic_error>([&] { static_cast<void>(sent.get(30s)); });
  };
  const signature quiet = plus.s(1, 1).set({.ignore_result = true});
  const auto no = HasSubstr("was sent with ignore_result");
  EXPECT_THAT(refused(quiet.delay<long>()), no);
  EXPECT_THAT(refused(say.s(1).delay<long>()), no);
  EXPECT_THAT(refused((plus.s(1, 1) | say.s()).delay<long>()), no);
  EXPECT_THAT(refused(chord({plus.s(1, 1)}, same.s().set({.ignore_result = true})).delay()), no);
  EXPECT_THAT(refused((plus.s(1, 1) | group(plus.s(1), say.s())).delay()), no);
  const auto mixed = group(say.s(1), plus.s(1, 1)).delay<long>();
  EXPECT_THAT(refused(mixed), no);
  EXPECT_THAT(refused(mixed.all()), no);
  EXPECT_THAT(refused(mixed[0]), no);
  EXPECT_EQ(mixed[1].get(30s), 2);
  EXPECT_THAT(refused(group(plus.s(1, 1)).apply_async<long>({.ignore_result = true})), no);
  EXPECT_EQ((quiet | plus.s(1)).delay<long>().get(30s), 3);  // what is in between may be ignored
}

TEST_P(Signatures, ThatAreNothing) {
  const auto none = group(std::vector<signature>()).delay<long>();
  EXPECT_TRUE(none.ready());
  EXPECT_THAT(none.get(30s), IsEmpty());
  EXPECT_EQ(none.state(), "SUCCESS");
  EXPECT_EQ(chord(std::vector<signature>(), sum.s()).delay<long>().get(30s), 0);
  EXPECT_THROW(static_cast<void>(chain(std::vector<signature>()).delay()), std::invalid_argument);
}

TEST_P(Signatures, OfGroupsWithinChains) {
  const auto r = (plus.s(1, 1) | group(plus.s(10), plus.s(20))).delay<std::vector<long>>();
  EXPECT_THAT(r.get(30s), ElementsAre(12, 22));
  EXPECT_EQ(r.ids().size(), 2U);
  const auto deep =
      (plus.s(1, 1) | group(plus.s(10), group(plus.s(20), plus.s(30))) | same.s()).delay<std::vector<long>>();
  EXPECT_THAT(deep.get(30s), ElementsAre(12, 22, 32));
  const auto twice = (group(plus.s(1, 1), plus.s(2, 2)) | group(sum.s(), sum.s()) | sum.s()).delay<long>();
  EXPECT_EQ(twice.get(30s), 12);
  const auto within = chord({plus.s(1, 1), group(plus.s(2, 2), plus.s(3, 3)) | sum.s()}, same.s());
  EXPECT_THAT(within.delay<std::vector<long>>().get(30s), ElementsAre(2, 10));
}

TEST_P(Signatures, ThatFailTellWhoWaits) {
  EXPECT_THROW((plus.s(1, 1) | fail.s() | plus.s(1)).delay<long>().get(30s), std::out_of_range);
  EXPECT_THROW(chord({plus.s(1, 1), fail.s(1)}, sum.s()).delay<long>().get(30s), std::exception);
  const auto r = group(plus.s(1, 1), fail.s(7)).delay<long>();
  EXPECT_EQ(message_of<std::out_of_range>([&] { static_cast<void>(r.get(30s)); }), "failed at 7");
  EXPECT_TRUE(eventually([&] { return r.completed() == 2; }));
  EXPECT_EQ(r.state(), "FAILURE");
  EXPECT_THROW(r.all().future().get(), std::out_of_range);
}

TEST_P(Signatures, CallErrbacksWithTheId) {
  signature_test::failures = 0;
  const auto r = fail.s(1).on_error(note_failure.s()).delay<long>();
  EXPECT_THROW(r.get(30s), std::out_of_range);
  EXPECT_TRUE(eventually([] { return signature_test::failures == 1; }));
  EXPECT_EQ(signature_test::failed_id, r.id());
}

TEST_P(Signatures, AreNotWaitedForInsideTasks) {
  for (const signature& task : {waits.s(1), waits_for_all.s(1), awaits.s(1)}) {
    SCOPED_TRACE(task.json());
    const auto sent = task.delay<long>();
    if (GetParam()) {
      EXPECT_EQ(sent.get(30s), 2);  // in place it has run
    } else {
      const std::string why = message_of<std::logic_error>([&] { static_cast<void>(sent.get(30s)); });
      EXPECT_THAT(why, AllOf(HasSubstr("must not wait"), HasSubstr("link, chain or chord")));
    }
  }
  const auto there = plus.delay(1, 2);
  EXPECT_EQ(there.get(30s), 3);
  EXPECT_EQ(reads.delay(there.id()).get(30s), 3);
  if (GetParam()) return;
  worker helper(bench_.where(), {.queues = {"another"}, .concurrency = 1});
  helper.start();
  EXPECT_EQ(insists.delay(1).get(30s), 2);
}

TEST_P(Signatures, HaveOptions) {
  const auto r = plus.s(1, 1).set({.priority = 3, .queue = "math"}).link(note_failure.s()).delay<long>();
  EXPECT_EQ(r.get(30s), 2);
  EXPECT_THROW(static_cast<void>(plus.s(1).set({.id = "x"})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(group(plus.s(1)).link(sum.s())), std::invalid_argument);
}

// A canvas with what it means: from a number to numbers, all of a group's.
struct canvas {
  signature what;
  std::function<std::vector<long>(long)> model;
  bool is_group = false;
};

class canvases {
 public:
  explicit canvases(unsigned seed) : random_(seed) {}

  canvas any(int depth) { return pick(3) == 0 ? many(depth) : one(depth); }

  // From a number to a number.
  canvas one(int depth) {
    switch (depth <= 0 ? 0 : pick(3)) {
      case 1: return then(one(depth - 1), one(depth - 1));
      case 2: {
        const canvas header = many(depth - 1);
        return {pick(2) == 0 ? header.what | sum.s() : chord({header.what}, sum.s()),
                [model = header.model](long x) { return std::vector{signature_test::sum(model(x))}; }};
      }
      default: {
        const long k = static_cast<long>(pick(100));
        return {plus.s(k), [k](long x) { return std::vector{x + k}; }};
      }
    }
  }

  // From a number to the results of a group.
  canvas many(int depth) {
    if (depth > 0 && pick(3) == 0) return then(one(depth - 1), many(depth - 1));
    std::vector<canvas> members;
    for (std::size_t n = pick(4); n-- > 0;) members.push_back(any(depth - 1));
    std::vector<signature> all;
    for (const canvas& c : members) all.push_back(c.what);
    return {group(all),
            [members](long x) {
              std::vector<long> results;
              for (const canvas& c : members) {
                const auto part = c.model(x);
                results.insert(results.end(), part.begin(), part.end());
              }
              return results;
            },
            true};
  }

 private:
  std::size_t pick(std::size_t n) { return random_() % n; }
  static canvas then(const canvas& first, const canvas& next) {
    return {first.what | next.what, [a = first.model, b = next.model](long x) { return b(a(x).at(0)); }, next.is_group};
  }
  std::mt19937 random_;
};

TEST_P(Signatures, OfEveryShapeMeanWhatTheyMean) {
  const unsigned first = std::random_device{}() % 100000;
  for (unsigned seed = first; seed < first + 60; ++seed) {
    const canvas c = canvases(seed).any(4);
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + c.what.json());
    const signature travelled = signature::from_json(c.what.json());
    EXPECT_EQ(travelled.json(), c.what.json());
    if (c.is_group) {
      ASSERT_EQ(travelled.delay<std::vector<long>>(5).get(30s), c.model(5));
    } else {
      ASSERT_EQ(travelled.delay<long>(5).get(30s), c.model(5).at(0));
    }
  }
}

TEST(SignatureJson, IsCelerys) {
  EXPECT_EQ(plus.s(1).set({.queue = "q"}).json(),
            R"({"task":"canvas.plus","args":[1],"kwargs":{},"options":{"queue":"q"},"subtask_type":null,)"
            R"("immutable":false})");
  const std::string one = plus.si(1, 2).json();
  EXPECT_THAT(one, HasSubstr(R"("immutable":true)"));
  EXPECT_EQ(group(plus.si(1, 2)).json(), R"({"task":"celery.group","args":[],"kwargs":{"tasks":[)" + one +
                                             R"(]},"options":{},"subtask_type":"group","immutable":false})");
  EXPECT_EQ((plus.si(1, 2) | plus.si(1, 2)).json(), R"({"task":"celery.chain","args":[],"kwargs":{"tasks":[)" + one +
                                                        "," + one +
                                                        R"(]},"options":{},"subtask_type":"chain","immutable":false})");
  EXPECT_THAT(chord({plus.si(1, 2)}, sum.s()).json(),
              HasSubstr(R"({"task":"celery.chord","args":[],"kwargs":{"header":)"));
}

TEST(SignatureJson, ThatIsNoneIsRefused) {
  for (const char* text :
       {"", "[]", "{}", "3", R"({"task":3})", R"({"task":"x","args":{}})", R"({"task":"x","kwargs":[]})",
        R"({"task":"celery.chord","subtask_type":"chord","kwargs":{"header":[]}})",
        R"({"task":"celery.chain","subtask_type":"chain","kwargs":{"tasks":[1]}})"}) {
    EXPECT_THROW(static_cast<void>(signature::from_json(text)), decode_error) << text;
  }
}

}  // namespace
}  // namespace tutti::cluster
