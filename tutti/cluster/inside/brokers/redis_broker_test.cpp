// Queues in a real Redis: what goes in comes out, once, in order, for whom it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <tests/support/processes.hpp>
#include <tests/support/redis_places.hpp>
#include <tests/support/redis_server.hpp>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/brokers/redis_broker.hpp>

namespace {

using namespace std::chrono_literals;
using namespace tutti::cluster;
using namespace tutti_test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class redis_broker_test : public clean_test {};

std::vector<std::string> texts_of(const std::vector<delivery>& all) {
  std::vector<std::string> texts;
  for (const delivery& one : all) texts.push_back(one.text);
  return texts;
}

TEST_F(redis_broker_test, messages_come_in_their_order_and_are_gone_when_they_are_settled) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  broker->publish(std::vector<outgoing_message>{{"work", "{\"n\":1}"}, {"work", "{\"n\":2}"}, {"work", "{\"n\":3}"}});
  const auto consumer = broker->consume("me@here", {"work"});
  const std::vector<delivery> all = receive_all(*consumer, 3);
  EXPECT_THAT(texts_of(all), ElementsAre("{\"n\":1}", "{\"n\":2}", "{\"n\":3}"));
  EXPECT_EQ(all[0].queue, "work");
  EXPECT_EQ(all[0].returned, 0);
  EXPECT_EQ(all[0].priority, std::nullopt);
  EXPECT_TRUE(consumer->connected());
  EXPECT_EQ(broker->queues(std::vector<std::string>{"work"}).front().held, 3u);
  acknowledge(*consumer, all);
  const queue_info info = broker->queues({}).front();
  EXPECT_EQ(info.name, "work");
  EXPECT_EQ(info.waiting + info.held + info.delayed, 0u);
  EXPECT_EQ(redis.ask({"LLEN", "work"}), "0");
}

TEST_F(redis_broker_test, what_a_destroyed_consumer_holds_returns_in_its_order) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  for (int i = 0; i < 12; ++i)
    broker->publish(std::vector<outgoing_message>{{"q", "{\"n\":" + std::to_string(i) + "}"}});
  {
    const auto first = broker->consume("first", {"q"});
    const auto all = receive_all(*first, 11);
    acknowledge(*first, {all[0]});
  }
  EXPECT_EQ(redis.ask({"ZCARD", "tutti:consumers"}), "0");
  const auto second = broker->consume("second", {"q"});
  const auto all = receive_all(*second, 11);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].text, "{\"n\":" + std::to_string(i + 1) + "}");
    EXPECT_EQ(all[i].returned, 0);  // nobody has died
  }
}

TEST_F(redis_broker_test, priorities_and_the_order_of_queues_decide) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  for (const int priority : {0, 3, 5, 6, 9}) {
    broker->publish(std::vector<outgoing_message>{{"low", "l" + std::to_string(priority), priority},
                                                  {"high", "h" + std::to_string(priority), priority}});
  }
  broker->publish(std::vector<outgoing_message>{{"high", "h-"}});
  EXPECT_EQ(redis.ask({"LRANGE", "high", "0", "-1"}), "h-\nh9");  // 9 to 7
  EXPECT_EQ(redis.ask({"LRANGE",
                       "high\x06\x16"
                       "3",
                       "0", "-1"}),
            "h6\nh5");
  EXPECT_EQ(redis.ask({"LRANGE",
                       "high\x06\x16"
                       "6",
                       "0", "-1"}),
            "h3");
  EXPECT_EQ(redis.ask({"LRANGE",
                       "high\x06\x16"
                       "9",
                       "0", "-1"}),
            "h0");
  EXPECT_THAT(broker->peek("high", 4), ElementsAre("h9", "h-", "h5", "h6"));
  const auto consumer = broker->consume("me", {"high", "low"});
  const auto all = receive_all(*consumer, 11);
  EXPECT_THAT(texts_of(all), ElementsAre("h9", "h-", "h5", "h6", "h3", "h0", "l9", "l5", "l6", "l3", "l0"));
  EXPECT_EQ(all[2].priority, 6);
  EXPECT_EQ(all[5].priority, 0);
  EXPECT_EQ(all[5].queue, "high");
}

TEST_F(redis_broker_test, a_waiting_consumer_is_rung_by_each_list_and_by_wake) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  const auto consumer = broker->consume("me", {"a", "b"});
  for (int round = 0; round < 20; ++round) {
    const std::string queue = round % 2 == 0 ? "a" : "b";
    std::jthread sender([&] {
      // Until the consumer waits on its bells: Redis says how many are blocked.
      EXPECT_TRUE(
          eventually([&] { return redis.ask({"INFO", "clients"}).find("blocked_clients:8") != std::string::npos; }));
      broker->publish(std::vector<outgoing_message>{{queue, std::to_string(round), round / 2 % 10}});
    });
    const auto all = consumer->receive(5, 30s);
    ASSERT_THAT(texts_of(all), ElementsAre(std::to_string(round)));
    acknowledge(*consumer, all);
    sender.join();
    EXPECT_TRUE(consumer->receive(5, 0s).empty());
    std::jthread waker([&] { consumer->wake(); });
    EXPECT_TRUE(consumer->receive(5, 30s).empty());
  }
  EXPECT_EQ(redis.ask({"LLEN", "a"}), "0");
}

TEST_F(redis_broker_test, what_others_push_with_plain_commands_is_received) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  const auto consumer = broker->consume("me", {"celery"});
  EXPECT_TRUE(consumer->receive(1, 0s).empty());
  redis.ask({"LPUSH", "celery", "from celery"});
  EXPECT_EQ(receive_one(*consumer).text, "from celery");
  EXPECT_EQ(redis.ask({"SMEMBERS", "_kombu.binding.celery"}),
            "celery\x06\x16\x06\x16"
            "celery");
}

TEST_F(redis_broker_test, settling_gives_back_and_follows_up_in_one_step) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  const auto consumer = broker->consume("me", {"q"});
  broker->publish(std::vector<outgoing_message>{{"q", "{\"n\":1}"}, {"q", "{\"n\":2}"}, {"q", "{\"n\":3}"}});
  const auto all = receive_all(*consumer, 3);
  const std::vector<settlement> settled = {{all[2].tag, true, {}},
                                           {all[0].tag, false, {{"next", "f1"}, {"next", "f2", 0}}},
                                           {all[1].tag, true, {}},
                                           {"999", false, {{"next", "f3"}}}};
  consumer->settle(settled);
  EXPECT_EQ(redis.ask({"LRANGE", "q", "0", "-1"}), "{\"n\":3}\n{\"n\":2}");
  EXPECT_EQ(redis.ask({"LRANGE", "next", "0", "-1"}), "f1");
  EXPECT_EQ(redis.ask({"LRANGE",
                       "next\x06\x16"
                       "9",
                       "0", "-1"}),
            "f2");
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().held, 0u);
}

TEST_F(redis_broker_test, many_settlements_of_all_kinds_at_once) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  const auto consumer = broker->consume("me", {"q"});
  std::vector<outgoing_message> messages;
  for (int i = 0; i < 3000; ++i) messages.push_back({"q", "{" + std::to_string(i) + "}"});
  broker->publish(messages);
  const auto all = receive_all(*consumer, 3000);
  std::vector<settlement> settled;
  for (std::size_t i = 0; i < all.size(); ++i) {
    settled.push_back({all[i].tag, i % 3 == 0, {}});
    if (i % 3 == 1) settled.back().follow.push_back({"next", all[i].text});
  }
  consumer->settle(settled);
  EXPECT_EQ(redis.ask({"LLEN", "q"}), "1000");
  EXPECT_EQ(redis.ask({"LLEN", "next"}), "1000");
  EXPECT_EQ(redis.ask({"LINDEX", "next", "-1"}), "{1}");
}

TEST_F(redis_broker_test, what_is_due_later_comes_when_it_is_and_waits_with_the_broker) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  auto consumer = broker->consume("me", {"q"});
  broker->publish(std::vector<outgoing_message>{{"q", "{\"n\":1}"}});
  const auto one = receive_one(*consumer);
  const auto now = std::chrono::system_clock::now();
  const std::vector<settlement> settled = {{one.tag,
                                            false,
                                            {{"q", "{\"far\":1}", {}, now + 1h},
                                             {"q", "{\"near\":1}", 3, now + 150ms},
                                             {"other", "{\"not ours\":1}", {}, now + 1h}}}};
  consumer->settle(settled);
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().delayed, 2u);
  EXPECT_EQ(redis.ask({"LLEN", "other"}), "1");  // its consumers may know nothing of what waits with us
  const auto near = receive_one(*consumer);
  EXPECT_EQ(near.text, "{\"near\":1}");
  EXPECT_GE(std::chrono::system_clock::now(), now + 149ms);
  EXPECT_EQ(near.returned, 0);
  acknowledge(*consumer, {near});
  consumer.reset();
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().delayed, 1u);
  EXPECT_EQ(broker->purge("q"), 1u);
  EXPECT_EQ(redis.ask({"KEYS", "tutti:later*"}), "");
}

TEST_F(redis_broker_test, many_delayed_ones_are_counted_and_purged_in_slices) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  redis.ask({"EVAL",
             "for i = 1, 12000 do for _, queue in ipairs{'q', 'other'} do local member = queue .. '\\n' .. i"
             " redis.call('ZADD', 'tutti:later', 1e14 + i, member)"
             " redis.call('HSET', 'tutti:later:texts', member, '1:0:' .. queue .. '{}') end end",
             "0"});
  broker->publish(std::vector<outgoing_message>{{"q", "{}"}, {"other", "{}"}});
  const auto calls = [&] {
    const std::string all = redis.ask({"INFO", "commandstats"}), name = "cmdstat_evalsha:calls=";
    const std::size_t at = all.find(name);
    return at == all.npos ? 0 : std::stoi(all.substr(at + name.size()));
  };
  int before = calls();
  const std::vector<std::string> both{"q", "other"};
  for (const queue_info& info : broker->queues(both)) {
    EXPECT_EQ(info.waiting, 1u);
    EXPECT_EQ(info.delayed, 12'000u);
  }
  EXPECT_GE(calls() - before, 2);
  before = calls();
  EXPECT_EQ(broker->purge("q"), 12'001u);
  EXPECT_GE(calls() - before, 2);
  EXPECT_EQ(redis.ask({"ZCARD", "tutti:later"}), "12000");
  EXPECT_EQ(redis.ask({"HLEN", "tutti:later:texts"}), "12000");
  EXPECT_EQ(broker->queues(both).back().delayed, 12'000u);
}

TEST_F(redis_broker_test, queues_may_change_while_it_waits) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  const auto consumer = broker->consume("me", {"a"});
  broker->publish(std::vector<outgoing_message>{{"b", "1"}});
  std::jthread other([&] { consumer->set_queues({"b"}); });
  EXPECT_EQ(receive_one(*consumer).text, "1");
  broker->publish(std::vector<outgoing_message>{{"a", "2"}});
  EXPECT_TRUE(consumer->receive(1, 1ms).empty());
  consumer->set_queues({});
  broker->publish(std::vector<outgoing_message>{{"b", "3"}});
  EXPECT_TRUE(consumer->receive(1, 1ms).empty());
  consumer->set_queues({"a", "b"});
  EXPECT_THAT(texts_of(receive_all(*consumer, 2)), ElementsAre("2", "3"));
}

TEST_F(redis_broker_test, all_queues_that_were_ever_named_are_listed_also_those_of_celery) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  broker->publish(std::vector<outgoing_message>{{"ours", "{}"}, {"ours", "{}", 0}});
  redis.ask({"SADD", "_kombu.binding.theirs", "theirs\x06\x16\x06\x16theirs"});
  redis.ask({"SADD", "_kombu.binding.celery.pidbox",
             "\x06\x16\x06\x16"
             "celery@h.celery.pidbox"});
  redis.ask({"SADD", "_kombu.binding.celeryev",
             "worker.#\x06\x16\x06\x16"
             "celeryev.1"});
  redis.ask({"SADD", "_kombu.binding.reply.celery.pidbox",
             "1\x06\x16\x06\x16"
             "1.reply.celery.pidbox"});
  std::vector<std::string> names;
  for (const queue_info& info : broker->queues({})) names.push_back(info.name);
  EXPECT_THAT(names, ElementsAre("ours", "theirs"));
  EXPECT_EQ(broker->queues(std::vector<std::string>{"ours"}).front().waiting, 2u);
  const auto consumer = broker->consume("me", {"ours"});
  consumer->settle(std::vector<settlement>{{receive_one(*consumer).tag, false, {{"after", "{}"}}}});
  EXPECT_EQ(broker->queues({}).front().name, "after");
  EXPECT_EQ(redis.ask({"EXISTS", "_kombu.binding.after"}), "1");
  EXPECT_EQ(broker->purge("ours"), 1u);
  EXPECT_EQ(broker->purge("ours"), 0u);
}

TEST_F(redis_broker_test, ten_thousand_messages_and_a_big_one) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  std::vector<outgoing_message> messages(10000, {"q", "{\"x\":1}"});
  messages.push_back({"q", "{" + std::string(10'000'000, 'x') + "}"});
  broker->publish(messages);
  const auto consumer = broker->consume("me", {"q"});
  for (std::size_t got = 0; got < 10000;) {
    const auto some = receive_all(*consumer, 1000);
    got += some.size();
    acknowledge(*consumer, some);
  }
  EXPECT_EQ(receive_one(*consumer).text.size(), 10'000'002u);
}

TEST_F(redis_broker_test, broadcasts_reach_those_who_listen) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis, 0, 3), {});
  const auto pidbox = broker->listen("celery.pidbox");
  const auto events = broker->listen("celeryev/*");
  broker->broadcast("celery.pidbox", "{\"method\":\"ping\"}");
  EXPECT_EQ(pidbox->receive(30s), "{\"method\":\"ping\"}");
  broker->broadcast("celeryev/worker.heartbeat", "{\"type\":1}");
  EXPECT_EQ(events->receive(30s), "{\"type\":1}");
  EXPECT_EQ(redis.ask({"PUBLISH", "/3.celery.pidbox", "from celery"}), "1");
  EXPECT_EQ(pidbox->receive(30s), "from celery");
  EXPECT_EQ(pidbox->receive(0s), std::nullopt);
  std::jthread waker([&] { pidbox->wake(); });
  EXPECT_EQ(pidbox->receive(30s), std::nullopt);
}

TEST_F(redis_broker_test, answers_reach_who_has_asked) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  {
    const auto answers = broker->answers("1234");
    const auto others = broker->answers("5678");
    EXPECT_EQ(redis.ask({"SISMEMBER", "_kombu.binding.reply.celery.pidbox",
                         "1234\x06\x16\x06\x16"
                         "1234.reply.celery.pidbox"}),
              "1");
    broker->answer("reply.celery.pidbox", "1234", "pong");
    broker->answer("reply.celery.pidbox", "1234", "pong again");
    broker->answer("reply.celery.pidbox", "nobody", "lost");
    EXPECT_EQ(answers->receive(30s), "pong");
    EXPECT_EQ(answers->receive(30s), "pong again");
    EXPECT_EQ(answers->receive(0s), std::nullopt);
    EXPECT_EQ(others->receive(0s), std::nullopt);
    std::jthread waker([&] { answers->wake(); });
    EXPECT_EQ(answers->receive(30s), std::nullopt);
  }
  EXPECT_EQ(redis.ask({"KEYS", "*pidbox*"}), "");
}

TEST_F(redis_broker_test, what_is_held_is_never_written_over) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  const auto consumer = broker->consume("me", {"q"});
  EXPECT_TRUE(consumer->receive(1, 0s).empty());
  const std::string held = "tutti:held:" + redis.ask({"ZRANGE", "tutti:consumers", "0", "0"});
  redis.ask({"HSET", held, "2", "1:0:q{\"n\":7}"});
  broker->publish(std::vector<outgoing_message>{{"q", "{\"n\":1}"}, {"q", "{\"n\":2}"}, {"q", "{\"n\":3}"}});
  const auto all = receive_all(*consumer, 3);
  EXPECT_THAT(texts_of(all), ElementsAre("{\"n\":1}", "{\"n\":2}", "{\"n\":3}"));
  acknowledge(*consumer, all);
  EXPECT_EQ(redis.ask({"HVALS", held}), "1:0:q{\"n\":7}");
}

TEST_F(redis_broker_test, counts_and_records_that_nobody_wrote_stop_nobody) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {.lease = 400ms});
  const std::string odd = "{\"tutti-returned\":99999999999999999999,\"n\":1}";
  redis.ask({"RPUSH", "q", odd});
  redis.ask({"HSET", "tutti:held:dead", "1", "junk", "2", "99:1:q{}", "3", "1:999999:q{\"n\":2}", "4", "1:1e+20:q{}"});
  redis.ask({"ZADD", "tutti:consumers", "1", "dead"});
  const auto consumer = broker->consume("me", {"q"});
  const auto all = receive_all(*consumer, 2);
  EXPECT_THAT(texts_of(all), testing::UnorderedElementsAre(odd, "{\"n\":2}"));
  EXPECT_EQ(redis.ask({"LLEN", "tutti:dead"}), "3");
  EXPECT_EQ(redis.ask({"EXISTS", "tutti:held:dead"}), "0");
  for (const delivery& one : all) consumer->settle(std::vector<settlement>{{one.tag, true, {}}});
  EXPECT_THAT(texts_of(receive_all(*consumer, 2)), testing::UnorderedElementsAre(odd, "{\"n\":2}"));
}

TEST_F(redis_broker_test, one_that_is_refused_holds_no_others_up) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  const auto consumer = broker->consume("me", {"q"});
  const std::size_t many = 201;  // two steps
  broker->publish(std::vector<outgoing_message>(many, {"q", "{}"}));
  const auto all = receive_all(*consumer, many);
  const auto due = std::chrono::system_clock::now() + 1h;
  std::vector<settlement> settled;
  for (const delivery& one : all) settled.push_back({one.tag, false, {{"next", "{}", 4}}});
  settled.front().follow = {{"q", "{\"later\":1}", {}, due}, {"next", "{}", 4}};
  redis.ask({"SET", "tutti:later", "text"});
  EXPECT_THROW(consumer->settle(settled), broker_refusal);
  redis.ask({"DEL", "tutti:later"});
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().held, 1u);
  EXPECT_EQ(broker->queues(std::vector<std::string>{"next"}).front().waiting, many - 1);
  consumer->settle(settled);
  consumer->settle(settled);
  const queue_info left = broker->queues(std::vector<std::string>{"q"}).front();
  EXPECT_EQ(left.held, 0u);
  EXPECT_EQ(left.delayed, 1u);
  EXPECT_EQ(redis.ask({"HLEN", "tutti:later:texts"}), "1");
  EXPECT_EQ(broker->queues(std::vector<std::string>{"next"}).front().waiting, many);
}

TEST_F(redis_broker_test, a_replica_is_asked_until_it_is_the_master) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {.lease = 400ms, .patience = 30s});
  const auto consumer = broker->consume("me", {"q"});
  broker->publish(std::vector<outgoing_message>{{"q", "{}"}});
  const auto one = receive_one(*consumer);
  redis.ask({"REPLICAOF", "127.0.0.1", "1"});
  std::jthread sender([&] { broker->publish(std::vector<outgoing_message>{{"q", "{\"n\":2}"}}); });
  std::jthread settler([&] { consumer->settle(std::vector<settlement>{{one.tag, false, {{"next", "{}"}}}}); });
  EXPECT_TRUE(eventually([&] { return !consumer->connected(); }));
  redis.ask({"REPLICAOF", "NO", "ONE"});
  EXPECT_EQ(receive_one(*consumer).text, "{\"n\":2}");
  settler.join();
  EXPECT_EQ(redis.ask({"LLEN", "next"}), "1");
}

}  // namespace
