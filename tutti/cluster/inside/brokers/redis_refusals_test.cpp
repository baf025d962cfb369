// What becomes of messages when a Redis that is there does not do what it is asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tests/support/processes.hpp>
#include <tests/support/redis_places.hpp>
#include <tests/support/redis_server.hpp>
#include <tests/support/tcp_proxy.hpp>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/brokers/broker_link.hpp>
#include <tutti/cluster/inside/brokers/redis_broker.hpp>
#include <tutti/cluster/inside/brokers/redis_connection.hpp>
#include <tutti/cluster/inside/brokers/redis_scripts.hpp>

namespace {

using namespace std::chrono_literals;
using namespace tutti::cluster;
using namespace tutti_test;
using testing::HasSubstr;
using testing::StartsWith;

class redis_refusals_test : public clean_test {};

const broker_options patient{.lease = 400ms, .patience = 30s};

std::string text_with(std::size_t n, std::size_t bytes = 0) {
  return "{\"n\":" + std::to_string(n) + ",\"x\":\"" + std::string(bytes, 'x') + "\"}";
}

TEST_F(redis_refusals_test, a_redis_that_is_full_takes_no_more_but_gives_what_it_has) {
  const redis_server redis({.more = {"--maxmemory", "5mb"}});
  const auto broker = make_redis_broker(place_of(redis), patient);
  constexpr std::size_t sent = 20;
  for (std::size_t n = 0; n < sent; ++n) broker->publish(std::vector<outgoing_message>{{"q", text_with(n)}});
  fill(redis);
  EXPECT_THAT(text_of([&] { broker->publish(std::vector<outgoing_message>{{"q", text_with(0, 100'000)}}); }),
              HasSubstr("full"));
  EXPECT_THAT(redis.ask({"SADD", "tutti:queues", "other"}), StartsWith("-OOM"));
  const auto consumer = broker->consume("me", {"q"});
  const auto all = receive_all(*consumer, sent);
  ASSERT_EQ(all.size(), sent);
  EXPECT_TRUE(consumer->connected());
  consumer->settle(std::vector<settlement>{{all[0].tag, false, {{"next", "{}"}}}, {all[1].tag, true, {}}});
  EXPECT_EQ(redis.ask({"LLEN", "next"}), "1");
  EXPECT_EQ(receive_one(*consumer).text, all[1].text);  // although nothing rings for it
}

// Redis closes the connection in the middle of such a request. Before 7.0 that is one of more than 1024 * 1024 words.
TEST_F(redis_refusals_test, a_request_of_too_many_words_or_with_too_long_a_one_is_refused_for_good) {
  const redis_server redis({.more = {"--proto-max-bulk-len", "1mb"}});
  detail::redis_connection line(place_of(redis), 30s);
  for (int i = 0; i < 5; ++i) {
    line.open();
    detail::redis_request many;
    many.begin(std::size_t{3'000'000'000});
    many.word(std::string(20 << 20, 'x'));
    EXPECT_THROW(line.run(many), broker_refusal);
    line.close();
    line.open();
    detail::redis_request too_long;
    too_long.add({"GET", "one that is carried out"});
    too_long.add({"SET", "key", std::string(20 << 20, 'x')});
    EXPECT_THROW(line.run(too_long), broker_refusal);
    line.close();
  }
}

TEST_F(redis_refusals_test, what_follows_one_that_redis_closes_the_connection_after_holds_no_others_up) {
  const redis_server redis({.more = {"--proto-max-bulk-len", "1mb"}});
  const auto broker = make_redis_broker(place_of(redis), patient);
  const auto consumer = broker->consume("me", {"q"});
  broker->publish(std::vector<outgoing_message>{{"q", "{}"}, {"q", "{}"}, {"q", "{}"}});
  const auto held = receive_all(*consumer, 3);
  ASSERT_EQ(held.size(), 3u);
  const std::string long_text = text_with(0, 20 << 20);
  EXPECT_THROW(consumer->settle(std::vector<settlement>{{held[0].tag, false, {{"next", "{}"}}},
                                                        {held[1].tag, false, {{"next", long_text}}},
                                                        {held[2].tag, false, {{"next", "{}"}}}}),
               broker_refusal);
  EXPECT_EQ(redis.ask({"LLEN", "next"}), "2");
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().held, 1u);
  EXPECT_THROW(broker->publish(std::vector<outgoing_message>{{"next", long_text}}), broker_refusal);
  broker->publish(std::vector<outgoing_message>{{"next", "{}"}});
  acknowledge(*consumer, {held[1]});
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().held, 0u);
}

TEST_F(redis_refusals_test, who_may_not_wait_looks_now_and_then) {
  const redis_server redis;
  redis.ask({"ACL", "SETUSER", "default", "-blmove"});
  const auto broker = make_redis_broker(place_of(redis), patient);
  const auto consumer = broker->consume("me", {"q"});
  tutti::log_capture logged;
  for (std::size_t n = 0; n < 3; ++n) {
    while (!logged.contains("cannot be waited for")) EXPECT_TRUE(consumer->receive(1, 20ms).empty());
    std::jthread sender([&] { broker->publish(std::vector<outgoing_message>{{"q", text_with(n)}}); });
    EXPECT_EQ(consumer->receive(1, 30s).size(), 1u);
  }
}

TEST_F(redis_refusals_test, a_list_that_was_something_else_is_waited_for_again) {
  const redis_server redis;
  redis.ask({"SET", "q", "text"});
  const auto broker = make_redis_broker(place_of(redis), {});
  const auto consumer = broker->consume("me", {"q"});
  tutti::log_capture logged;
  while (!logged.contains("cannot be waited for")) EXPECT_TRUE(consumer->receive(1, 20ms).empty());
  redis.ask({"DEL", "q"});
  broker->publish(std::vector<outgoing_message>{{"q", "{}"}});
  EXPECT_EQ(consumer->receive(1, 30s).size(), 1u);
}

TEST_F(redis_refusals_test, a_key_that_is_something_else_does_not_stop_the_other_queues) {
  const redis_server redis;
  redis.ask({"SET", "odd", "text"});
  const auto broker = make_redis_broker(place_of(redis), patient);
  EXPECT_THAT(text_of([&] { broker->publish(std::vector<outgoing_message>{{"odd", "{}"}}); }), HasSubstr("WRONGTYPE"));
  const auto consumer = broker->consume("me", {"odd", "q"});
  tutti::log_capture logged;
  EXPECT_TRUE(consumer->receive(1, 1ms).empty());
  broker->publish(std::vector<outgoing_message>{{"q", "{}"}});
  const auto one = receive_one(*consumer);
  EXPECT_EQ(one.text, "{}");
  const std::vector<settlement> settled = {{one.tag, false, {{"odd", "{\"follow\":1}"}}}};
  EXPECT_THROW(consumer->settle(settled), broker_refusal);
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).front().held, 1u);
  redis.ask({"DEL", "odd"});
  consumer->settle(settled);
  EXPECT_EQ(redis.ask({"LRANGE", "odd", "0", "-1"}), "{\"follow\":1}");
}

TEST_F(redis_refusals_test, of_several_queues_all_are_sent_to_or_none) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), patient);
  redis.ask({"SET", "odd", "text"});
  const std::vector<outgoing_message> both{{"q", "{}"}, {"odd", "{}"}};
  EXPECT_THROW(broker->publish(both), broker_refusal);
  EXPECT_EQ(redis.ask({"LLEN", "q"}), "0");
  redis.ask({"DEL", "odd"});
  redis.ask({"ACL", "SETUSER", "default", "-llen"});  // who may not ask sends all the same
  broker->publish(both);
  redis.ask({"ACL", "SETUSER", "default", "+llen"});
  EXPECT_EQ(redis.ask({"LLEN", "q"}), "1");
  EXPECT_EQ(redis.ask({"LLEN", "odd"}), "1");
}

TEST_F(redis_refusals_test, what_has_refused_one_is_looked_at_before_the_others_are_sent) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), patient);
  const auto refused = [&](std::vector<outgoing_message> messages) {
    EXPECT_THROW(broker->publish(messages), broker_refusal);
    EXPECT_EQ(redis.ask({"LLEN", "q"}), "0");
  };
  redis.ask({"SET", "odd", "text"});
  refused({{"odd", "{}"}});
  refused({{"q", "{}"}, {"odd", "{}"}});
  redis.ask({"DEL", "odd"});
  broker->publish(std::vector<outgoing_message>{{"odd", "{}"}});
  redis.ask({"SET", "odd", "text"});
  refused({{"odd", "{}"}});
  refused({{"q", "{}"}, {"odd", "{}"}});
  // Nor does a queue that its user may not touch ever take one.
  redis.ask({"ACL", "SETUSER", "default", "resetkeys", "~q*", "~tutti:*", "~_kombu*"});
  refused({{"q", "{}"}, {"other", "{}"}});
}

TEST(redis_denial_test, is_read_in_the_words_of_all_versions) {
  using enum detail::redis_denial;
  for (const char* const text :
       {"NOPERM this user has no permissions to access one of the keys used as arguments",
        "NOPERM User u has no permissions to access the 'other' key", "NOPERM No permissions to access a key",
        "NOPERM User u has no permissions to access the 'c' channel",
        "REFUSED other: ERR The user executing the script can't access at least one of the keys mentioned in the "
        "command arguments script: 1ab, on @user_script:2.",
        "ERR The user executing the script can't publish to the channel mentioned in the command",
        "redis://h: REFUSED other: ERR ACL failure in script: No permissions to access a key script: 1ab, on "
        "@user_script:2.",
        "ERR ACL failure in script: User u has no permissions to access the 'other' key"}) {
    EXPECT_EQ(detail::denial_of(text), key) << text;
  }
  for (const char* const text :
       {"NOPERM this user has no permissions to run the 'llen' command",
        "NOPERM User u has no permissions to run the 'llen' command",
        "ERR The user executing the script can't run this command or subcommand script: 1ab, on @user_script:2.",
        "ERR ACL failure in script: User u has no permissions to run the 'llen' command script: 1ab"}) {
    EXPECT_EQ(detail::denial_of(text), command) << text;
  }
  for (const char* const text : {"", "OOM command not allowed when used memory > 'maxmemory'.",
                                 "WRONGTYPE Operation against a key holding the wrong kind of value"}) {
    EXPECT_EQ(detail::denial_of(text), none) << text;
  }
}

TEST_F(redis_refusals_test, who_may_only_not_ask_settles_with_all_versions) {
  const redis_server redis;
  const auto settle_when_llen_says = [&](const std::string& said) {
    // As if Redis refused to tell the script.
    const std::string script =
        "local redis = setmetatable({pcall = function(name, ...) if name == 'LLEN' then return "
        "{err = \"" +
        said + "\"} end return redis.pcall(name, ...) end}, {__index = redis})" + detail::settle_script.before +
        detail::settle_script.text;
    redis.ask({"DEL", "next"});
    redis.ask({"HSET", "held", "1", "1:0:q{}"});
    return redis.ask({"EVAL", script, "3", "held", "later", "texts", "1", "0", "1", "next", "0", "t", "{}"});
  };
  for (const char* const said : {"ERR The user executing the script can't run this command or subcommand",
                                 "ERR ACL failure in script: User u has no permissions to run the 'llen' command"}) {
    settle_when_llen_says(said);
    EXPECT_EQ(redis.ask({"LLEN", "next"}), "1") << said;
  }
  for (const char* const said : {"ERR The user executing the script can't access at least one of the keys",
                                 "ERR ACL failure in script: No permissions to access a key"}) {
    EXPECT_EQ(detail::denial_of(settle_when_llen_says(said)), detail::redis_denial::key);
    EXPECT_EQ(redis.ask({"LLEN", "next"}), "0") << said;
  }
}

TEST_F(redis_refusals_test, who_lacks_a_right_is_told_where_it_stands) {
  const redis_server redis;
  redis.ask({"ACL", "SETUSER", "default", "-time"});
  const auto consumer = make_redis_broker(place_of(redis), patient)->consume("me", {"q"});
  tutti::log_capture logged;
  static_cast<void>(consumer->receive(1, 1ms));
  EXPECT_TRUE(logged.contains("refuses") && logged.contains("docs/cluster.md"))
      << testing::PrintToString(logged.lines());
}

TEST_F(redis_refusals_test, who_listens_is_told_that_it_is_let_in_no_more) {
  const redis_server redis;
  tcp_proxy proxy(redis.port());
  const auto broker = make_redis_broker(place_of(redis, proxy.port()), patient);
  const auto news = broker->listen("news");
  const auto answers = broker->answers("me");
  EXPECT_EQ(answers->receive(0s), std::nullopt);
  redis.ask({"CONFIG", "SET", "requirepass", "geheim"});
  proxy.drop();
  for (listener* const one : {news.get(), answers.get()}) {
    const std::string said = text_of([&] { static_cast<void>(one->receive(30s)); });
    EXPECT_THAT(said, HasSubstr("NOAUTH"));
    EXPECT_THAT(said, StartsWith("redis://127.0.0.1"));
  }
}

TEST_F(redis_refusals_test, what_neither_its_queue_nor_its_dead_letters_take_is_kept_once) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), patient);
  auto consumer = broker->consume("me", {"q"});
  broker->publish(std::vector<outgoing_message>{{"q", text_with(0)}, {"q", text_with(1)}, {"q", text_with(2)}});
  const auto all = receive_all(*consumer, 3);
  const auto soon = std::chrono::system_clock::now() + 100ms;
  for (const char* const key : {"odd", "odd.dead"}) redis.ask({"SET", key, "text"});
  const std::vector<settlement> refused{{all[0].tag, false, {{"next", "{}"}, {"odd", text_with(7)}}}};
  for (int i = 0; i < 2; ++i) EXPECT_THROW(consumer->settle(refused), broker_refusal);
  EXPECT_EQ(redis.ask({"LLEN", "next"}), "0");
  tutti::log_capture logged;
  // What is due, what was taken and what a dead one held of such a queue keeps nobody from the rest.
  consumer->set_queues({"q", "odd"});
  redis.ask(
      {"HSET", "tutti:held:" + redis.ask({"ZRANGE", "tutti:consumers", "0", "0"}), "99 odd", "3:0:odd" + text_with(7)});
  consumer->settle(std::vector<settlement>{{"99 odd", true, {}}});
  EXPECT_EQ(redis.ask({"LRANGE", "tutti:dead", "0", "-1"}), text_with(7));
  EXPECT_TRUE(logged.contains("odd: WRONGTYPE")) << testing::PrintToString(logged.lines());
  consumer->settle(
      std::vector<settlement>{{all[1].tag, false, {{"odd", text_with(8), {}, soon}, {"q", text_with(9), {}, soon}}}});
  EXPECT_EQ(receive_one(*consumer).text, text_with(9));
  redis.ask({"HSET", "tutti:held:dead", "1 odd", "3:0:odd{}", "2 q", "1:0:q" + text_with(10)});
  redis.ask({"ZADD", "tutti:consumers", "1", "dead"});
  const delivery left = receive_one(*consumer);
  EXPECT_EQ(left.text, text_with(10));
  EXPECT_EQ(left.returned, 1);
  EXPECT_EQ(redis.ask({"LLEN", "tutti:dead"}), "3");
  // Nor does one that may not be touched.
  redis.ask({"ACL", "SETUSER", "default", "resetkeys", "~q*", "~tutti:*", "~_kombu*"});
  EXPECT_THROW(consumer->settle(std::vector<settlement>{{all[2].tag, false, {{"next", "{}"}}}}), broker_refusal);
}

TEST_F(redis_refusals_test, no_more_is_moved_in_one_step_than_others_can_wait_for) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  constexpr std::size_t sent = 100, bytes = 200'000;
  for (std::size_t n = 0; n < sent; ++n) broker->publish(std::vector<outgoing_message>{{"q", text_with(n, bytes)}});
  for (const char* const name : {"first", "second"}) {
    const auto consumer = broker->consume(name, {"q"});
    EXPECT_LT(consumer->receive(sent, 30s).size(), 40u);
    receive_all(*consumer, sent - 31);
  }
  const auto consumer = broker->consume("third", {"q"});
  const auto all = receive_all(*consumer, sent);
  ASSERT_EQ(all.size(), sent);
  for (std::size_t n = 0; n < sent; ++n) EXPECT_EQ(all[n].text, text_with(n, bytes));
}

TEST_F(redis_refusals_test, however_many_are_given_back_they_keep_their_order) {
  const redis_server redis;
  const auto broker = make_redis_broker(place_of(redis), {});
  constexpr std::size_t sent = 2500;
  std::vector<outgoing_message> messages;
  for (std::size_t n = 0; n < sent; ++n) messages.push_back({"q", text_with(n)});
  broker->publish(messages);
  EXPECT_EQ(receive_all(*broker->consume("first", {"q"}), sent).size(), sent);
  EXPECT_EQ(redis.ask({"ZCARD", "tutti:consumers"}), "0");
  const auto consumer = broker->consume("second", {"q"});
  const auto all = receive_all(*consumer, sent);
  ASSERT_EQ(all.size(), sent);
  for (std::size_t n = 0; n < sent; ++n) EXPECT_EQ(all[n].text, messages[n].text);
}

TEST(broker_link_test, is_up_when_all_lines_are_and_says_when_that_changes) {
  using detail::broker_line;
  tutti::log_capture logged;
  detail::broker_link link("somewhere");
  EXPECT_FALSE(link.is_up());
  link.found(broker_line::keeping);
  EXPECT_TRUE(link.is_up());
  link.lost(broker_line::settling, "full of clients");
  for (int i = 0; i < 3; ++i) {
    link.found(broker_line::keeping);
    link.found(broker_line::receiving);
    EXPECT_FALSE(link.is_up());
    link.lost(broker_line::settling, "full of clients");
  }
  link.lost(broker_line::receiving, "full of clients");
  link.found(broker_line::settling);
  EXPECT_FALSE(link.is_up());
  link.found(broker_line::receiving);
  EXPECT_TRUE(link.is_up());
  EXPECT_EQ(logged.lines().size(), 2u) << testing::PrintToString(logged.lines());
}

}  // namespace
