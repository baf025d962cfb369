// What becomes of messages in Redis when connections break, when Redis dies, and when those who hold them do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <set>
#include <tests/support/child.hpp>
#include <tests/support/processes.hpp>
#include <tests/support/redis_places.hpp>
#include <tests/support/redis_server.hpp>
#include <tests/support/tcp_proxy.hpp>
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

class redis_faults_test : public clean_test {};

const broker_options patient{.lease = 400ms, .patience = 30s};

std::string text_with(int n) { return "{\"n\":" + std::to_string(n) + "}"; }

TEST_F(redis_faults_test, a_publish_that_is_cut_anywhere_is_there_once) {
  const redis_server redis;
  tcp_proxy proxy(redis.port());
  const auto broker = make_redis_broker(place_of(redis, proxy.port()), patient);
  broker->publish(std::vector<outgoing_message>{{"q", text_with(0)}, {"q", text_with(0), 0}});
  const std::int64_t before = proxy.passed();
  broker->publish(std::vector<outgoing_message>{{"q", text_with(1)}, {"q", text_with(1), 0}});
  const std::int64_t length = proxy.passed() - before;
  ASSERT_GT(length, 100);
  int n = 2;
  const auto cut = [&](auto arrange, std::int64_t at) {
    const int cuts = proxy.cuts();
    arrange(at);
    broker->publish(std::vector<outgoing_message>{{"q", text_with(n)}, {"q", text_with(n), 0}});
    EXPECT_EQ(proxy.cuts(), cuts + 1) << "at " << at;
    ++n;
  };
  // The last byte before EXEC is whole, the one that makes it whole, and all classes of positions before.
  for (const std::int64_t at :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{17}, length / 2, length - 14, length - 2, length - 1, length}) {
    cut([&](std::int64_t bytes) { proxy.cut_after(bytes); }, at);
  }
  for (const std::int64_t at : {0, 1, 5, 14, 30, 32, 40})
    cut([&](std::int64_t bytes) { proxy.cut_answers_after(bytes); }, at);
  std::string expected;
  for (int i = n - 1; i > 0; --i) expected += text_with(i) + "\n";
  EXPECT_EQ(redis.ask({"LRANGE", "q", "0", "-1"}), expected + text_with(0));
  EXPECT_EQ(redis.ask({"LLEN",
                       "q\x06\x16"
                       "9"}),
            std::to_string(n));
}

TEST_F(redis_faults_test, a_settlement_that_is_cut_anywhere_happens_once) {
  const redis_server redis;
  tcp_proxy proxy(redis.port());
  const auto broker = make_redis_broker(place_of(redis), patient);
  const auto cut_off = make_redis_broker(place_of(redis, proxy.port()), {.lease = 30s, .patience = 30s});
  const auto consumer = cut_off->consume("me", {"q"});
  for (int n = 0; n < 8; ++n) {
    broker->publish(std::vector<outgoing_message>{{"q", text_with(n)}});
    const auto one = receive_one(*consumer);
    EXPECT_EQ(one.text, text_with(n));
    if (n % 2 == 0) {
      proxy.cut_after(1 + 40 * n);
    } else {
      proxy.cut_answers_after(n / 2);
    }
    const std::vector<settlement> settled = {{one.tag, false, {{"next", text_with(n)}}}};
    consumer->settle(settled);
  }
  EXPECT_EQ(redis.ask({"LLEN", "next"}), "8");
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().held, 0u);
}

TEST_F(redis_faults_test, what_was_received_when_the_answer_was_lost_is_received_again) {
  const redis_server redis;
  tcp_proxy proxy(redis.port());
  const auto broker = make_redis_broker(place_of(redis), patient);
  const auto cut_off = make_redis_broker(place_of(redis, proxy.port()), {.lease = 30s, .patience = 30s});
  const auto consumer = cut_off->consume("me", {"q"});
  EXPECT_TRUE(consumer->receive(1, 0s).empty());  // connected
  for (int n = 0; n < 10; ++n) {
    broker->publish(std::vector<outgoing_message>{{"q", text_with(2 * n)}, {"q", text_with(2 * n + 1)}});
    proxy.cut_answers_after(n);
    const auto all = receive_all(*consumer, 2);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].text, text_with(2 * n));
    EXPECT_EQ(all[1].text, text_with(2 * n + 1));
    acknowledge(*consumer, all);
  }
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().held, 0u);
}

TEST_F(redis_faults_test, who_waits_while_nothing_passes_gets_on_when_it_does) {
  const redis_server redis;
  tcp_proxy proxy(redis.port());
  const auto broker = make_redis_broker(place_of(redis), patient);
  const auto cut_off = make_redis_broker(place_of(redis, proxy.port()), patient);
  const auto consumer = cut_off->consume("me", {"q"});
  EXPECT_TRUE(consumer->receive(1, 1ms).empty());  // its bells are armed
  proxy.stall();
  EXPECT_TRUE(eventually([&] { return !consumer->connected(); }));
  broker->publish(std::vector<outgoing_message>{{"q", "{}"}});
  std::jthread healer([&] { proxy.stall(false); });
  EXPECT_EQ(receive_one(*consumer).text, "{}");
  EXPECT_TRUE(eventually([&] { return consumer->connected(); }));
  proxy.drop();
  broker->publish(std::vector<outgoing_message>{{"q", "{\"n\":2}"}});
  EXPECT_EQ(receive_one(*consumer).text, "{\"n\":2}");
}

TEST_F(redis_faults_test, clients_get_an_error_when_their_patience_is_over) {
  const redis_server redis;
  tcp_proxy proxy(redis.port());
  const auto broker = make_redis_broker(place_of(redis, proxy.port()), {.lease = 1s, .patience = 100ms});
  proxy.refuse();
  const std::vector<outgoing_message> one{{"q", "{}"}};
  EXPECT_THAT(text_of([&] { broker->publish(one); }), HasSubstr("tried for 100 ms"));
  EXPECT_THROW(static_cast<void>(broker->queues({})), tutti::broker_error);
  EXPECT_THROW(static_cast<void>(broker->listen("celery.pidbox")), tutti::broker_error);
  EXPECT_THROW(static_cast<void>(broker->answers("x")), tutti::broker_error);
  proxy.refuse(false);
  broker->publish(one);
  proxy.stall();
  EXPECT_THAT(text_of([&] { broker->publish(one); }), HasSubstr("it says nothing"));
  proxy.stall(false);
  broker->publish(one);
}

TEST_F(redis_faults_test, a_forked_child_has_connections_of_its_own) {
  const redis_server redis;
  tcp_proxy proxy(redis.port());
  const auto broker = make_redis_broker(place_of(redis, proxy.port()), patient);
  broker->publish(std::vector<outgoing_message>{{"q", text_with(1)}});
  child forked([&](const talk& parent) {
    parent.hear();
    broker->publish(std::vector<outgoing_message>{{"q", text_with(3)}});
    parent.say();
    parent.wait_for_the_end();
    return 0;
  });
  broker->publish(std::vector<outgoing_message>{{"q", text_with(2)}});
  proxy.cut_after(0);  // so that the child has to ask whether its second one is there
  forked.say();
  forked.hear();
  EXPECT_EQ(redis.ask({"LRANGE", "q", "0", "-1"}), text_with(3) + "\n" + text_with(2) + "\n" + text_with(1));
}

TEST_F(redis_faults_test, after_stop_one_attempt_has_to_do) {
  redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {.lease = 200ms, .patience = 100ms});
  const auto consumer = broker->consume("me", {"q"});
  EXPECT_TRUE(consumer->receive(1, 0s).empty());
  redis.kill();
  std::jthread stopper([&] { consumer->stop(); });
  const std::vector<settlement> settled = {{"1", false, {{"next", "{}"}}}};
  EXPECT_THROW(consumer->settle(settled), tutti::broker_error);
  EXPECT_TRUE(consumer->receive(1, 1ms).empty());
}

TEST_F(redis_faults_test, what_a_killed_process_held_comes_to_another_in_order_and_counted) {
  const redis_server redis;
  const auto where = place_of(redis);
  const broker_options options{.lease = 300ms, .patience = 30s};
  child worker([&](const talk& parent) {
    const auto broker = make_redis_broker(where, options);
    const auto consumer = broker->consume("victim", {"q"});
    parent.say();
    receive_all(*consumer, 4);
    parent.say();
    parent.wait_for_the_end();
    return 0;
  });
  worker.hear();
  const auto broker = make_redis_broker(where, options);
  broker->publish(std::vector<outgoing_message>{
      {"q", text_with(1)}, {"q", text_with(2)}, {"q", text_with(3), 0}, {"q", "no json"}});
  worker.hear();
  worker.kill();
  broker->publish(std::vector<outgoing_message>{{"q", text_with(9)}});
  {
    const auto consumer = broker->consume("heir", {"q"});
    EXPECT_EQ(receive_one(*consumer).text, text_with(9));
    const auto all = receive_all(*consumer, 4);
    ASSERT_EQ(all.size(), 4u);
    EXPECT_EQ(all[0].text, text_with(1));
    EXPECT_EQ(all[0].returned, 1);
    EXPECT_EQ(all[1].text, text_with(2));
    EXPECT_EQ(all[2].text, "no json");
    EXPECT_EQ(all[3].text, text_with(3));
    EXPECT_EQ(all[3].priority, 0);
    const std::vector<settlement> back = {{all[0].tag, true, {}}};
    consumer->settle(back);
    EXPECT_EQ(redis.ask({"LINDEX", "q", "-1"}), "{\"tutti-returned\":1,\"n\":1}");
    EXPECT_THAT(broker->peek("q", 1), ElementsAre(text_with(1)));
    EXPECT_EQ(receive_one(*consumer).returned, 1);
  }
  EXPECT_EQ(redis.ask({"ZCARD", "tutti:consumers"}), "0");
}

// As Redis knows the consumer of that name.
std::string named(const redis_server& redis, const std::string& name) {
  std::istringstream all(redis.ask({"ZRANGE", "tutti:consumers", "0", "-1"}));
  for (std::string one; all >> one;)
    if (one.starts_with(name + "|")) return one;
  return {};
}

TEST_F(redis_faults_test, a_consumer_that_was_stalled_is_not_told_and_its_acks_do_no_harm) {
  const redis_server redis;
  tcp_proxy proxy(redis.port());
  const broker_options options{.lease = 400ms, .patience = 30s};
  const auto good = make_redis_broker(place_of(redis), {.lease = 30s, .patience = 30s});
  const auto bad = make_redis_broker(place_of(redis, proxy.port()), options);
  const auto judge = make_redis_broker(place_of(redis), options)->consume("judge", {"other"});
  const auto heir = good->consume("heir", {"other"});  // which nobody calls dead, however busy this machine is
  const auto stalled = bad->consume("stalled", {"q"});
  good->publish(std::vector<outgoing_message>{{"q", text_with(1)}});
  const auto one = receive_one(*stalled);
  proxy.stall();
  heir->set_queues({"q"});
  const auto again = receive_one(*heir);
  EXPECT_EQ(again.text, text_with(1));
  EXPECT_EQ(again.returned, 1);
  proxy.stall(false);
  redis.ask({"CLIENT", "KILL", "TYPE", "normal"});                    // it is asked again on another connection
  EXPECT_TRUE(eventually([&] { return !stalled->holds(one.tag); }));  // true while Redis cannot be reached
  const std::vector<settlement> settled = {{one.tag, false, {{"next", "{}"}}}};
  EXPECT_THAT(stalled->settle(settled), ElementsAre(settle_end::gone));
  const auto end_of_lease = [&] { return redis.ask({"ZSCORE", "tutti:consumers", named(redis, "stalled")}); };
  EXPECT_TRUE(eventually([&, before = end_of_lease()] { return end_of_lease() != before; }));
  EXPECT_TRUE(eventually([&] { return !stalled->holds(one.tag); })) << "also when its lease is sure again";
  EXPECT_EQ(good->queues(std::vector<std::string>{"q"}).front().held, 1u);
  EXPECT_EQ(redis.ask({"LLEN", "next"}), "0");  // the heir sends it
  acknowledge(*heir, {again});
}

TEST_F(redis_faults_test, what_redis_has_forgotten_is_nobody_elses) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {.lease = 100ms, .patience = 30s});
  const auto consumer = broker->consume("holder", {"q"});
  broker->publish(std::vector<outgoing_message>{{"q", text_with(1)}});
  const auto one = receive_one(*consumer);
  redis.ask({"FLUSHALL"});
  EXPECT_TRUE(eventually([&] { return redis.ask({"ZCARD", "tutti:consumers"}) == "1"; }));  // its lease is there again
  EXPECT_TRUE(consumer->holds(one.tag));
  EXPECT_THAT(consumer->settle(std::vector<settlement>{{one.tag, false, {}}}), ElementsAre(settle_end::gone));
  EXPECT_TRUE(consumer->holds(one.tag));
}

TEST_F(redis_faults_test, nobody_is_called_dead_because_redis_stood_still) {
  const redis_server redis;
  const broker_options options{.lease = 800ms, .patience = 30s};  // more than a busy machine holds a keeper up
  const auto broker = make_redis_broker(place_of(redis), options);
  broker->publish(std::vector<outgoing_message>{{"q", text_with(1)}, {"q", text_with(2)}});
  const auto a = broker->consume("a", {"q"});
  const auto b = broker->consume("b", {"q"});
  const auto first = receive_one(*a), second = receive_one(*b);
  const auto end_of_leases = [&] { return redis.ask({"ZRANGE", "tutti:consumers", "0", "0", "WITHSCORES"}); };
  const auto since = std::chrono::steady_clock::now();
  redis.freeze();
  EXPECT_TRUE(eventually([&] {
    return !a->connected() && !b->connected() && std::chrono::steady_clock::now() > since + 3 * options.lease;
  }));
  redis.go_on();
  EXPECT_TRUE(eventually([&] { return a->connected() && b->connected(); }));
  // The keepers have come again and again, long enough to call somebody dead.
  for (int i = 0; i < 8; ++i)
    EXPECT_TRUE(eventually([&, before = end_of_leases()] { return end_of_leases() != before; }));
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().held, 2u);
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().waiting, 0u);
  acknowledge(*a, {first});
  acknowledge(*b, {second});
}

TEST_F(redis_faults_test, a_redis_that_dies_again_and_again_loses_nothing) {
  redis_server redis({.durable = true});
  // Longer than any restart: nobody is called dead.
  const auto broker = make_redis_broker(place_of(redis), {.lease = 5s, .patience = 30s});
  std::mutex mutex;
  std::map<std::string, int> done;
  constexpr int senders = 2, each = 60;
  std::vector<std::jthread> threads;
  std::atomic<int> sent{0};
  for (int s = 0; s < senders; ++s) {
    threads.emplace_back([&, s] {
      for (int i = 0; i < each; ++i) {
        broker->publish(std::vector<outgoing_message>{{"q", text_with(1000 * s + i)}});
        ++sent;
      }
    });
  }
  for (int w = 0; w < 2; ++w) {
    threads.emplace_back([&, w](const std::stop_token& stop) {
      const auto consumer = broker->consume("worker" + std::to_string(w), {"q"});
      while (!stop.stop_requested()) {
        for (const delivery& one : consumer->receive(2, 5ms)) {
          const std::vector<settlement> settled = {{one.tag, false, {{"next", one.text}}}};
          consumer->settle(settled);
          const std::lock_guard lock(mutex);
          ++done[one.text];
        }
      }
    });
  }
  for (int round = 1; round <= 10; ++round) {
    EXPECT_TRUE(eventually([&] { return sent >= round * (senders * each) / 11; }));
    redis.kill();
    redis.start();
  }
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return done.size() == senders * each;
  }));
  threads.clear();
  EXPECT_EQ(redis.ask({"LLEN", "q"}), "0");
  EXPECT_GE(std::stoi(redis.ask({"LLEN", "next"})), senders * each);
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().held, 0u);
}

TEST_F(redis_faults_test, passwords_are_used_and_never_shown) {
  const redis_server redis({.password = "geheim", .user = "worker"});
  auto where = place_of(redis);
  tutti::log_capture logged;
  const std::vector<outgoing_message> one{{"q", "{}"}};
  const auto refused_at_once = [&] {
    const auto broker = make_redis_broker(where, {.lease = 1s, .patience = 1h});
    const std::string text = text_of([&] { broker->publish(one); });
    EXPECT_THAT(text, Not(HasSubstr("geheim")));
    EXPECT_THAT(text, HasSubstr("127.0.0.1"));
    const auto consumer = broker->consume("me", {"q"});
    EXPECT_TRUE(consumer->receive(1, 1ms).empty());
    EXPECT_FALSE(consumer->connected());
    return text;
  };
  EXPECT_THAT(refused_at_once(), HasSubstr("NOAUTH"));
  where.password = "geheimer";
  EXPECT_THAT(refused_at_once(), HasSubstr("WRONGPASS"));
  where.user = "worker";
  EXPECT_THAT(refused_at_once(), HasSubstr("WRONGPASS"));
  where.password = "geheim";
  where.database = 99;
  EXPECT_THAT(refused_at_once(), HasSubstr("DB index is out of range"));
  where.database = 5;
  const auto broker = make_redis_broker(where, patient);
  broker->publish(one);
  EXPECT_EQ(redis.ask({"LLEN", "q"}, 5), "1");
  EXPECT_THAT(broker->name(), Not(HasSubstr("geheim")));
  EXPECT_FALSE(logged.contains("geheim"));
  EXPECT_TRUE(logged.contains("the broker cannot be reached"));
}

TEST_F(redis_faults_test, a_server_that_repeats_the_password_is_not_quoted) {
  const redis_server redis({.more = {"--rename-command", "AUTH", "LOGIN"}});
  auto where = place_of(redis);
  where.password = "geheim";
  const auto broker = make_redis_broker(where, patient);
  const std::string text = text_of([&] { broker->publish(std::vector<outgoing_message>{{"q", "{}"}}); });
  EXPECT_THAT(text, HasSubstr("unknown command"));
  EXPECT_THAT(text, Not(HasSubstr("geheim")));
}

TEST_F(redis_faults_test, a_unix_socket_does_as_well) {
  const redis_server redis({.password = "pw", .unix_socket = true});
  broker_url where;
  where.scheme = "redis+socket";
  where.path = redis.socket_path();
  where.password = "pw";
  where.database = 2;
  const auto broker = make_redis_broker(where, patient);
  broker->publish(std::vector<outgoing_message>{{"q", "{}"}});
  EXPECT_EQ(redis.ask({"LLEN", "q"}, 2), "1");
  const auto consumer = broker->consume("me", {"q"});
  EXPECT_EQ(receive_one(*consumer).text, "{}");
}

TEST_F(redis_faults_test, scripts_that_redis_forgets_are_told_again) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), patient);
  const auto consumer = broker->consume("me", {"q"});
  for (int n = 0; n < 3; ++n) {
    redis.ask({"SCRIPT", "FLUSH"});
    broker->publish(std::vector<outgoing_message>{{"q", "{}"}});
    const auto one = receive_one(*consumer);
    redis.ask({"SCRIPT", "FLUSH"});
    const std::vector<settlement> settled = {{one.tag, false, {{"next", "{}"}}}};
    consumer->settle(settled);
  }
  EXPECT_EQ(redis.ask({"LLEN", "next"}), "3");
}

}  // namespace
