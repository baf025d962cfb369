// Results and chords in a real Redis: stored, heard of, counted, and shared with Celery.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <tests/support/processes.hpp>
#include <tests/support/redis_places.hpp>
#include <tests/support/redis_server.hpp>
#include <tests/support/spawned.hpp>
#include <tests/support/tcp_proxy.hpp>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/results/redis_results.hpp>

namespace {

using namespace std::chrono_literals;
using namespace tutti::cluster;
using namespace tutti_test;
using testing::ElementsAre;
using testing::HasSubstr;

class redis_results_test : public clean_test {};

using strings = std::vector<std::string>;

stored_result success(const std::string& id, const std::string& value = "1") {
  return {id, "{\"status\": \"SUCCESS\", \"result\": " + value + "}", 86400s, true};
}
stored_result other(const std::string& id, const std::string& state) {
  return {id, "{\"status\": \"" + state + "\", \"result\": null}", 86400s, false};
}

// The newest text of each id, once all of `ids` were heard of.
std::map<std::string, std::string> hear_all(result_watch& watch, std::size_t count) {
  std::map<std::string, std::string> heard;
  const auto late = std::chrono::steady_clock::now() + 30s;
  while (heard.size() < count && std::chrono::steady_clock::now() < late) {
    for (auto& [id, text] : watch.next(500ms)) heard[id] = text;
  }
  return heard;
}

TEST_F(redis_results_test, are_kept_as_celery_keeps_them) {
  const redis_server redis;
  const auto store = make_redis_results(place_of(redis, 0, 1), {});
  const std::vector<stored_result> some = {
      success("a"), other("b", "STARTED"), {"c", "{}", 0s, true}, {"d", "{}", 0s, false}};
  store->store(some);
  EXPECT_EQ(redis.ask({"GET", "celery-task-meta-a"}, 1), "{\"status\": \"SUCCESS\", \"result\": 1}");
  EXPECT_EQ(redis.ask({"TTL", "celery-task-meta-a"}, 1), "86400");
  EXPECT_EQ(redis.ask({"TTL", "celery-task-meta-b"}, 1), "86400");
  EXPECT_EQ(redis.ask({"TTL", "celery-task-meta-c"}, 1), "-1");
  EXPECT_EQ(redis.ask({"TTL", "celery-task-meta-d"}, 1), "-1");
  EXPECT_THAT(store->fetch(strings{"a", "nobody", "b"}), ElementsAre(some[0].text, std::nullopt, some[1].text));
  store->forget(strings{"a", "nobody"});
  EXPECT_THAT(store->fetch(strings{"a"}), ElementsAre(std::nullopt));
}

// Their places in the header collide, as Celery counts them: [[a, [b, c]], d] gives 0, 0, 1, 1.
TEST_F(redis_results_test, parts_of_a_header_that_celery_has_noted_have_its_shape) {
  const redis_server redis;
  const auto store = make_redis_results(place_of(redis), {});
  const auto part = [](const std::string& id, const std::string& state, const std::string& result) {
    return R"([1, ")" + id + R"(", ")" + state + R"(", )" + result + "]";
  };
  const auto run = [&](const std::string& noted, const std::string& state_of_c, std::int64_t size) {
    redis.ask({"SET", "celery-taskset-meta-g", noted});
    store->begin_chord("g", size);
    EXPECT_EQ(store->add_chord_part("g", 1, "d", part("d", "SUCCESS", "4")), std::nullopt);
    EXPECT_EQ(store->add_chord_part("g", 1, "c", part("c", state_of_c, "3")), std::nullopt);
    EXPECT_EQ(store->add_chord_part("g", 0, "a", part("a", "SUCCESS", "1")), std::nullopt);
    const auto all = store->add_chord_part("g", 0, "b", part("b", "SUCCESS", "2"));
    store->end_chord("g");
    return all.value_or(chord_parts());
  };
  const auto noted = [](const std::string& last) {
    return R"({"result": [["g", null], [[["g2", [["p", null], null]], [[["a", null], null], [["g3", null], )"
           R"([[["b", null], null], [["c", null], null]]]]], [[")" +
           last + R"(", null], null]]]})";
  };
  EXPECT_THAT(run(noted("d"), "SUCCESS", 4),
              ElementsAre(R"([1,"g2","SUCCESS",[1,[2,3]]])", R"([1, "d", "SUCCESS", 4])"));
  EXPECT_THAT(run(noted("d"), "FAILURE", 3),  // a worker of Celery may write that
              ElementsAre(R"([1, "c", "FAILURE", 3])", R"([1, "d", "SUCCESS", 4])"));
  for (const std::string& other : {noted("e"), std::string("no JSON"), std::string("{}"), noted("a")}) {
    EXPECT_THAT(run(other, "SUCCESS", 4), testing::SizeIs(4)) << other;
  }
}

TEST_F(redis_results_test, a_redis_that_is_full_takes_how_tasks_have_ended) {
  const redis_server redis({.more = {"--maxmemory", "5mb"}});
  const auto store = make_redis_results(place_of(redis), {.lease = 5s, .patience = 100ms});
  store->begin_chord("g", 1);
  fill(redis);
  const std::vector<stored_result> some = {success("a"), other("b", "FAILURE")};
  store->store(some);
  EXPECT_THAT(store->fetch(strings{"a", "b"}), ElementsAre(some[0].text, some[1].text));
  EXPECT_TRUE(store->add_chord_part("g", 0, "a", "[1,\"a\",\"SUCCESS\",1]"));
  EXPECT_THAT(redis.ask({"SET", "x", "x"}), testing::StartsWith("-OOM"));
}

TEST_F(redis_results_test, a_success_is_replaced_by_nothing_but_a_success) {
  const redis_server redis;
  const auto store = make_redis_results(place_of(redis), {});
  const auto set = [&](const stored_result& result) { store->store(std::span(&result, 1)); };
  const auto now = [&] { return store->fetch(strings{"a"}).front().value_or("nothing"); };
  set(other("a", "STARTED"));
  set(other("a", "RETRY"));
  EXPECT_EQ(now(), other("a", "RETRY").text);
  set(success("a", "1"));
  set(other("a", "FAILURE"));
  set(other("a", "STARTED"));
  EXPECT_EQ(now(), success("a", "1").text);
  set(success("a", "2"));
  EXPECT_EQ(now(), success("a", "2").text);
  redis.ask({"SET", "celery-task-meta-a", "{\"result\":3,\"status\":\"SUCCESS\"}"});
  set(other("a", "FAILURE"));
  EXPECT_EQ(now(), "{\"result\":3,\"status\":\"SUCCESS\"}");
  redis.ask({"SET", "celery-task-meta-a", "{\"status\":\"IN_PROGRESS\",\"result\":{\"status\":\"SUCCESS\"}}"});
  set(other("a", "FAILURE"));
  EXPECT_EQ(now(), other("a", "FAILURE").text);
}

TEST_F(redis_results_test, a_watch_hears_what_comes_and_what_was_there) {
  const redis_server redis;
  const auto store = make_redis_results(place_of(redis), {});
  const auto watch = store->watch();
  const std::vector<stored_result> before = {success("early", "1")};
  store->store(before);
  watch->add(strings{"early", "late", "never"});
  EXPECT_EQ(hear_all(*watch, 1).begin()->first, "early");
  // From here on it comes by subscription alone.
  EXPECT_TRUE(eventually(
      [&] { return redis.ask({"PUBSUB", "NUMSUB", "celery-task-meta-late"}) == "celery-task-meta-late\n1"; }));
  const std::vector<stored_result> states = {other("late", "STARTED"), success("late", "2"),
                                             success("unheard of", "3")};
  store->store(states);
  std::map<std::string, std::string> heard;
  EXPECT_TRUE(eventually([&] {
    for (auto& [id, text] : watch->next(1s)) heard[id] = text;
    return heard.count("late") != 0 && heard["late"] == success("late", "2").text;
  }));
  EXPECT_EQ(heard.size(), 1u);
  EXPECT_TRUE(watch->next(0s).empty());
  std::jthread waker([&] { watch->wake(); });
  EXPECT_TRUE(watch->next(30s).empty());
}

TEST_F(redis_results_test, thousands_are_heard_of_and_removed_while_others_come) {
  const redis_server redis;
  const auto store = make_redis_results(place_of(redis), {});
  const auto watch = store->watch();
  constexpr int count = 5000;
  std::jthread producer([&] {
    for (int i = 0; i < count; i += 50) {
      strings ids;
      std::vector<stored_result> results;
      for (int n = i; n < i + 50; ++n) {
        ids.push_back(std::to_string(n));
        results.push_back(success(ids.back(), ids.back()));
      }
      watch->add(ids);
      store->store(results);
    }
  });
  std::map<std::string, std::string> heard;
  EXPECT_TRUE(eventually([&] {
    strings ids;
    for (auto& [id, text] : watch->next(1s)) {
      heard[id] = text;
      ids.push_back(id);
    }
    watch->remove(ids);
    return heard.size() == count;
  }));
  EXPECT_EQ(heard["1234"], success("", "1234").text);
  producer.join();
  watch->add(strings{"1234", "more"});
  EXPECT_EQ(hear_all(*watch, 1).begin()->first, "1234");  // added again, asked for again
  strings channels;
  const std::string all = redis.ask({"PUBSUB", "CHANNELS"});
  EXPECT_LT(std::count(all.begin(), all.end(), '\n'), 600);
}

TEST_F(redis_results_test, a_watch_misses_nothing_when_connections_break) {
  redis_server redis({.durable = true});
  tcp_proxy proxy(redis.port());
  const auto store = make_redis_results(place_of(redis), {.patience = 30s});
  const auto watch = make_redis_results(place_of(redis, proxy.port()), {.patience = 30s})->watch();
  watch->add(strings{"a", "b", "c"});
  EXPECT_TRUE(watch->next(1ms).empty());
  proxy.refuse();
  proxy.drop();
  const auto set = [&](const stored_result& result) { store->store(std::span(&result, 1)); };
  set(success("a"));
  EXPECT_TRUE(watch->next(1ms).empty());
  proxy.refuse(false);
  EXPECT_EQ(hear_all(*watch, 1).begin()->first, "a");
  watch->remove(strings{"a"});
  set(success("b"));
  redis.kill();
  redis.start();
  EXPECT_EQ(hear_all(*watch, 1).begin()->first, "b");
  set(success("c"));
  EXPECT_TRUE(eventually([&] {
    for (const auto& [id, text] : watch->next(1s))
      if (id == "c") return true;
    return false;
  }));
}

TEST_F(redis_results_test, errors_when_patience_is_over) {
  redis_server redis;
  const auto store = make_redis_results(place_of(redis), {.patience = 50ms});
  redis.kill();
  const std::vector<stored_result> some = {success("a")};
  EXPECT_THAT(text_of([&] { store->store(some); }), HasSubstr("tried for 50 ms"));
  EXPECT_THROW(static_cast<void>(store->fetch(strings{"a"})), tutti::broker_error);
  const auto watch = store->watch();
  watch->add(strings{"a"});
  EXPECT_TRUE(watch->next(1ms).empty());
}

TEST_F(redis_results_test, the_last_part_of_a_chord_gives_all_of_them_in_order) {
  const redis_server redis;
  const auto store = make_redis_results(place_of(redis), {});
  const auto part = [](int n, const std::string& value) {
    return "[1, \"id" + std::to_string(n) + "\", \"SUCCESS\", " + value + "]";
  };
  EXPECT_EQ(store->add_chord_part("g", 2, "id2", part(2, "20")), std::nullopt);  // before it has begun
  store->begin_chord("g", 3);
  EXPECT_EQ(store->add_chord_part("g", 0, "id0", part(0, "0")), std::nullopt);
  EXPECT_EQ(store->add_chord_part("g", 0, "id0", part(0, "1")), std::nullopt);  // the same task, run again
  EXPECT_GT(std::stoll(redis.ask({"TTL", "celery-taskset-meta-g.j"})), 29 * 86400);
  EXPECT_THAT(store->add_chord_part("g", 1, "id1", part(1, "10")),
              testing::Optional(ElementsAre(part(0, "1"), part(1, "10"), part(2, "20"))));
  EXPECT_THAT(store->add_chord_part("g", 1, "id1", part(1, "11")),
              testing::Optional(ElementsAre(part(0, "1"), part(1, "11"), part(2, "20"))));
  EXPECT_EQ(redis.ask({"GET", "celery-taskset-meta-g.s"}), "3");
  store->end_chord("g");
  EXPECT_EQ(redis.ask({"KEYS", "*"}), "");
  EXPECT_EQ(store->add_chord_part("g", 1, "id1", part(1, "12")), std::nullopt);
  EXPECT_GT(std::stoll(redis.ask({"TTL", "celery-taskset-meta-g.j"})), 0);  // what is left goes by itself
}

TEST_F(redis_results_test, a_part_that_succeeded_is_not_replaced_by_a_failure) {
  const redis_server redis;
  const auto store = make_redis_results(place_of(redis), {});
  store->begin_chord("g", 2);
  const std::string good = R"([1, "a", "SUCCESS", 1])";
  EXPECT_EQ(store->add_chord_part("g", 0, "a", R"([1, "a", "FAILURE", 0])"), std::nullopt);
  EXPECT_EQ(store->add_chord_part("g", 0, "a", good), std::nullopt);
  EXPECT_EQ(store->add_chord_part("g", 0, "a", R"([1, "a", "FAILURE", 2])"), std::nullopt);
  const std::string other = R"([1, "b", "SUCCESS", 3])";
  EXPECT_THAT(store->add_chord_part("g", 1, "b", other), testing::Optional(ElementsAre(good, other)));
}

TEST_F(redis_results_test, a_chord_counts_tasks_and_not_texts) {
  const redis_server redis;
  const auto store = make_redis_results(place_of(redis), {});
  store->begin_chord("g", 2);
  // As Celery's own workers leave it when one task ran twice with two results.
  redis.ask({"ZADD", "celery-taskset-meta-g.j", "0", "[1, \"id0\", \"SUCCESS\", 1]"});
  redis.ask({"ZADD", "celery-taskset-meta-g.j", "0", "[1, \"id0\", \"SUCCESS\", 2]"});
  EXPECT_THAT(store->add_chord_part("g", 1, "id1", "[1,\"id1\",\"SUCCESS\",3]"),
              testing::Optional(ElementsAre("[1, \"id0\", \"SUCCESS\", 1]", "[1,\"id1\",\"SUCCESS\",3]")));
  store->end_chord("g");
  store->begin_chord("h", 2);
  redis.ask({"ZADD", "celery-taskset-meta-h.j", "1", "[1, \"id1\", \"SUCCESS\", 1]"});
  redis.ask({"ZADD", "celery-taskset-meta-h.j", "1", "[1, \"id1\", \"SUCCESS\", 2]"});
  EXPECT_EQ(store->add_chord_part("h", 1, "id1", "[1,\"id1\",\"SUCCESS\",3]"), std::nullopt);
  EXPECT_EQ(redis.ask({"ZCARD", "celery-taskset-meta-h.j"}), "1");
  redis.ask({"SET", "celery-taskset-meta-h.t", "-1"});  // Celery says: one fewer
  EXPECT_THAT(store->add_chord_part("h", -1, "id9", "[1,\"id9\",\"SUCCESS\",3]"),
              testing::Optional(ElementsAre("[1,\"id1\",\"SUCCESS\",3]", "[1,\"id9\",\"SUCCESS\",3]")));
}

// Celery's own code, against the same Redis.
TEST_F(redis_results_test, celery_reads_what_we_store_and_ends_a_chord_that_we_have_begun) {
  const redis_server redis;
  const auto store = make_redis_results(place_of(redis), {});
  const std::vector<stored_result> some = {
      {"t1", R"({"status": "SUCCESS", "result": [1, "x"], "traceback": null, "children": [], "task_id": "t1"})", 60s,
       true}};
  store->store(some);
  store->begin_chord("g", 2);
  EXPECT_EQ(store->add_chord_part("g", 0, "p0", "[1, \"p0\", \"SUCCESS\", 40]"), std::nullopt);
  const std::string program = R"(
import celery, sys
from types import SimpleNamespace
app = celery.Celery('x', broker='URL', backend='URL')
print(app.AsyncResult('t1').get(timeout=20), flush=True)
@app.task(name='sum')
def sum_(parts): pass
request = SimpleNamespace(id='p1', group='g', group_index=1, chord=sum_.s())
app.backend.on_chord_part_return(request, 'SUCCESS', 2)
print(app.backend.client.llen('celery'), app.backend.client.exists('celery-taskset-meta-g.j'), flush=True)
app.backend.set_chord_size('h', 2)
request = SimpleNamespace(id='p1', group='h', group_index=1, chord=sum_.s())
app.backend.on_chord_part_return(request, 'SUCCESS', 2)
print('parted', flush=True)
)";
  std::string text = program;
  for (std::size_t at = 0; (at = text.find("URL", at)) != std::string::npos;) text.replace(at, 3, redis.url());
  const spawned python({"/usr/bin/python3", "-c", text});
  EXPECT_EQ(python.line(), "[1, 'x']");
  EXPECT_EQ(python.line(), "1 0");  // the body was sent, the parts are gone
  EXPECT_EQ(python.line(), "parted");
  EXPECT_THAT(store->add_chord_part("h", 0, "p0", "[1, \"p0\", \"SUCCESS\", 40]"),
              testing::Optional(ElementsAre("[1, \"p0\", \"SUCCESS\", 40]", "[1, \"p1\", \"SUCCESS\", 2]")));
}

}  // namespace
