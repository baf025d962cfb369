#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <semaphore>
#include <set>
#include <tests/support/broker_place.hpp>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/cluster/broker.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using tutti_test::long_enough;

// Every broker must pass these.
class Broker : public tutti_test::each_place {
 protected:
  Broker() : broker_(open_broker(url())) {}

  void send(const std::string& queue, const std::vector<std::string>& texts, std::optional<int> priority = {}) {
    std::vector<outgoing_message> messages;
    for (const std::string& text : texts) messages.push_back({queue, text, priority});
    broker_->publish(messages);
  }
  std::unique_ptr<consumer> take_from(std::vector<std::string> queues) {
    return broker_->consume("test", std::move(queues));
  }
  // So many, or those that came in time.
  static std::vector<delivery> take(consumer& from, std::size_t count) {
    const auto late = std::chrono::steady_clock::now() + long_enough;
    std::vector<delivery> all;
    while (all.size() < count && std::chrono::steady_clock::now() < late)
      for (delivery& one : from.receive(count - all.size(), long_enough)) all.push_back(std::move(one));
    return all;
  }
  static std::vector<std::string> texts(const std::vector<delivery>& deliveries) {
    std::vector<std::string> result;
    for (const delivery& one : deliveries) result.push_back(one.text);
    return result;
  }
  static void settle(consumer& by, const std::vector<delivery>& deliveries, bool give_back = false) {
    std::vector<settlement> settled;
    for (const delivery& one : deliveries) settled.push_back({one.tag, give_back, {}});
    by.settle(settled);
  }
  // The first message is followed by one that is due in an hour.
  static void delay(consumer& by, const std::string& text) {
    const wall_time due = std::chrono::system_clock::now() + 1h;
    by.settle(std::vector<settlement>{{take(by, 1).at(0).tag, false, {{"q", text, {}, due}}}});
  }
  queue_info info(const std::string& queue) { return broker_->queues(std::vector{queue}).at(0); }
  static std::optional<std::string> hear(listener& from) { return from.receive(long_enough); }

  std::shared_ptr<broker> broker_;
};

TEST_P(Broker, HandsOutInTheOrderOfSending) {
  send("q", {"a", "b"});
  send("q", {"c"});
  const auto consumer = take_from({"q"});
  const auto got = take(*consumer, 3);
  EXPECT_THAT(texts(got), ElementsAre("a", "b", "c"));
  for (const delivery& one : got) {
    EXPECT_EQ(one.queue, "q");
    EXPECT_EQ(one.returned, 0);
  }
  EXPECT_THAT(consumer->receive(1, 0s), IsEmpty());
  EXPECT_TRUE(consumer->connected());
}

TEST_P(Broker, HandsOutNoMoreThanAskedFor) {
  send("q", {"a", "b", "c"});
  const auto consumer = take_from({"q"});
  EXPECT_THAT(consumer->receive(0, 0s), IsEmpty());
  EXPECT_EQ(consumer->receive(2, long_enough).size(), 2U);
  EXPECT_THAT(texts(take(*consumer, 1)), ElementsAre("c"));
}

TEST_P(Broker, SoonerOnesComeFirst) {
  send("q", {"later"}, 0);
  send("q", {"low"}, 3);
  send("q", {"high"}, 6);
  send("q", {"soonest"}, 9);
  send("q", {"without"});
  send("q", {"low too"}, 3);
  const auto consumer = take_from({"q"});
  const auto got = take(*consumer, 6);
  EXPECT_THAT(texts(got), ElementsAre("soonest", "without", "high", "low", "low too", "later"));
  std::vector<std::optional<int>> priorities;
  for (const delivery& one : got) priorities.push_back(one.priority);
  EXPECT_EQ(priorities.at(2), 6);
  EXPECT_EQ(priorities.at(3), 3);
  EXPECT_EQ(priorities.at(5), 0);
}

TEST_P(Broker, HandsOutOnlyOfItsQueues) {
  send("other", {"x"});
  send("q2", {"b"});
  send("q1", {"a"});
  const auto consumer = take_from({"q1", "q2"});
  EXPECT_THAT(texts(take(*consumer, 2)), testing::UnorderedElementsAre("a", "b"));
  EXPECT_THAT(consumer->receive(5, 0s), IsEmpty());
  EXPECT_EQ(info("other").waiting, 1U);
}

TEST_P(Broker, TakesFromOtherQueuesWhenToldTo) {
  send("q1", {"a"});
  send("q2", {"b"});
  const auto consumer = take_from({"q1"});
  EXPECT_THAT(texts(take(*consumer, 1)), ElementsAre("a"));
  consumer->set_queues({"q2"});
  send("q1", {"c"});
  EXPECT_THAT(texts(take(*consumer, 1)), ElementsAre("b"));
  EXPECT_THAT(consumer->receive(1, 0s), IsEmpty());
  consumer->set_queues({});
  EXPECT_THAT(consumer->receive(1, 0s), IsEmpty());
}

TEST_P(Broker, WakesWhoWaitsForAMessage) {
  const auto consumer = take_from({"q"});
  // Whichever is first: the next is sent when one was received, so in some of many rounds it waits.
  std::counting_semaphore<> wanted{0};
  constexpr int rounds = 50;
  std::jthread sender([&] {
    for (int n = 0; n < rounds; ++n) {
      wanted.acquire();
      for (int spin = 0; spin < 100 * n; ++spin) std::this_thread::yield();
      send("elsewhere", {"x"});
      send("q", {std::to_string(n)});
    }
  });
  for (int n = 0; n < rounds; ++n) {
    wanted.release();
    EXPECT_THAT(texts(consumer->receive(5, long_enough)), ElementsAre(std::to_string(n)));
  }
}

TEST_P(Broker, WakeEndsAReceive) {
  const auto consumer = take_from({"q"});
  consumer->wake();
  EXPECT_THAT(consumer->receive(1, 1h), IsEmpty());  // the next one
  std::jthread waker([&] { consumer->wake(); });
  EXPECT_THAT(consumer->receive(1, 1h), IsEmpty());  // or one that waits
  send("q", {"a"});
  EXPECT_THAT(texts(take(*consumer, 1)), ElementsAre("a"));
}

TEST_P(Broker, HoldsBackWhatFollowsUntilItIsDue) {
  send("q", {"first"});
  const auto consumer = take_from({"q"});
  const auto got = take(*consumer, 1);
  const wall_time due = std::chrono::system_clock::now() + 200ms;
  consumer->settle(std::vector<settlement>{
      {got.at(0).tag,
       false,
       {{"q", "later", 3, due}, {"q", "much later", {}, due + 1h}, {"q", "past", {}, due - 1h}}}});
  EXPECT_THAT(texts(take(*consumer, 1)), ElementsAre("past"));
  const auto later = take(*consumer, 1);
  EXPECT_GE(std::chrono::system_clock::now(), due);
  EXPECT_THAT(texts(later), ElementsAre("later"));
  EXPECT_EQ(later.at(0).priority, 3);
  EXPECT_THAT(consumer->receive(1, 0s), IsEmpty());
  EXPECT_EQ(info("q").delayed, 1U);
}

TEST_P(Broker, WhatIsSettledIsGone) {
  send("q", {"a", "b"});
  {
    const auto consumer = take_from({"q"});
    settle(*consumer, take(*consumer, 2));
  }
  const auto consumer = take_from({"q"});
  EXPECT_THAT(consumer->receive(1, 0s), IsEmpty());
  EXPECT_EQ(info("q").waiting + info("q").held, 0U);
}

TEST_P(Broker, SendsWhatFollowsTogetherWithTheSettlement) {
  send("q", {"a", "b"});
  const auto consumer = take_from({"q"});
  const auto got = take(*consumer, 2);
  ASSERT_EQ(got.size(), 2U);
  const wall_time due = std::chrono::system_clock::now() + 1h;
  const std::vector<settlement> settled{{got[0].tag, false, {{"next", "c", 3}, {"next", "d", 6}}},
                                        {got[1].tag, false, {{"q", "b waits", {}, due}}}};
  consumer->settle(settled);
  const auto next = take_from({"next"});
  EXPECT_THAT(texts(take(*next, 2)), ElementsAre("d", "c"));
  EXPECT_EQ(info("q").held, 0U);
  EXPECT_EQ(info("q").delayed, 1U);
}

TEST_P(Broker, SettlingTwiceDoesNoHarm) {
  send("q", {"a", "b"});
  const auto consumer = take_from({"q"});
  const auto got = take(*consumer, 1);
  const std::vector<settlement> settled{{got.at(0).tag, false, {{"next", "c"}}}};
  EXPECT_TRUE(consumer->holds(settled[0].tag));
  EXPECT_THAT(consumer->settle(settled), ElementsAre(settle_end::done));
  EXPECT_THAT(consumer->settle(settled), ElementsAre(settle_end::gone));
  EXPECT_EQ(info("q").waiting, 1U);
  EXPECT_EQ(info("q").held, 0U);
  EXPECT_TRUE(consumer->settle({}).empty());
}

TEST_P(Broker, SettlingAnOldTagDoesNothingToWhoHasItNow) {
  send("q", {"a"});
  const auto first = take_from({"q"});
  const auto second = take_from({"q"});
  const auto got = take(*first, 1);
  settle(*first, got, true);
  ASSERT_EQ(take(*second, 1).size(), 1U);
  settle(*first, got);
  settle(*first, got, true);
  EXPECT_EQ(info("q").held, 1U);
  EXPECT_EQ(info("q").waiting, 0U);
}

TEST_P(Broker, WhatIsGivenBackIsInFront) {
  send("q", {"a", "b", "c"});
  const auto first = take_from({"q"});
  const auto second = take_from({"q"});
  settle(*first, take(*first, 1), true);
  const auto all = take(*second, 3);
  EXPECT_THAT(texts(all), ElementsAre("a", "b", "c"));
  EXPECT_EQ(all.at(0).returned, 0);
}

TEST_P(Broker, WhatIsGivenBackKeepsItsPriority) {
  send("q", {"low"}, 3);
  const auto consumer = take_from({"q"});
  const auto got = take(*consumer, 1);
  send("q", {"high"}, 6);
  settle(*consumer, got, true);
  EXPECT_THAT(texts(take(*consumer, 2)), ElementsAre("high", "low"));
}

TEST_P(Broker, WhoIsDestroyedGivesBackInOrder) {
  send("q", {"a", "b", "c", "d"});
  {
    const auto consumer = take_from({"q"});
    ASSERT_EQ(take(*consumer, 3).size(), 3U);
  }
  const auto consumer = take_from({"q"});
  const auto all = take(*consumer, 4);
  EXPECT_THAT(texts(all), ElementsAre("a", "b", "c", "d"));
  for (const delivery& one : all) EXPECT_EQ(one.returned, 0) << "nobody died";
}

TEST_P(Broker, WhatIsGivenBackWakesWhoWaits) {
  send("q", {"a"});
  auto first = take_from({"q"});
  ASSERT_EQ(take(*first, 1).size(), 1U);
  const auto second = take_from({"q"});
  std::jthread ending([&] { first.reset(); });
  EXPECT_THAT(texts(second->receive(1, long_enough)), ElementsAre("a"));
}

TEST_P(Broker, SettlesAfterStop) {
  send("q", {"a", "b"});
  {
    const auto consumer = take_from({"q"});
    const auto got = take(*consumer, 2);
    consumer->stop();
    settle(*consumer, {got.at(0)});
  }
  EXPECT_EQ(info("q").waiting, 1U);
}

TEST_P(Broker, CountsWhatItHas) {
  EXPECT_EQ(info("q").waiting, 0U);
  EXPECT_EQ(info("q").name, "q");
  send("q", {"a", "b", "c", "d"});
  send("q", {"e"}, 3);
  send("p", {"x"});
  const auto consumer = take_from({"q"});
  delay(*consumer, "later");
  ASSERT_EQ(take(*consumer, 1).size(), 1U);
  const queue_info q = info("q");
  EXPECT_EQ(q.waiting, 3U);
  EXPECT_EQ(q.held, 1U);
  EXPECT_EQ(q.delayed, 1U);
  std::vector<std::string> names;
  for (const queue_info& one : broker_->queues({})) names.push_back(one.name);
  EXPECT_THAT(names, testing::IsSupersetOf({"p", "q"}));
}

TEST_P(Broker, ShowsWhatWaits) {
  send("q", {"b"}, 3);
  send("q", {"a"}, 6);
  EXPECT_THAT(broker_->peek("q", 10), ElementsAre("a", "b"));
  EXPECT_THAT(broker_->peek("q", 1), ElementsAre("a"));
  EXPECT_THAT(broker_->peek("none", 10), IsEmpty());
  EXPECT_EQ(info("q").waiting, 2U);
}

TEST_P(Broker, PurgesWhatWaits) {
  send("q", {"gone", "a", "b"});
  send("q", {"c"}, 3);
  send("p", {"x"});
  auto consumer = take_from({"q"});
  delay(*consumer, "later");
  ASSERT_EQ(take(*consumer, 1).size(), 1U);
  EXPECT_EQ(broker_->purge("q"), 3U);
  EXPECT_EQ(broker_->purge("q"), 0U);
  EXPECT_EQ(info("p").waiting, 1U);
  EXPECT_EQ(info("q").held, 1U);
  consumer.reset();
  EXPECT_THAT(broker_->peek("q", 10), ElementsAre("a"));
}

TEST_P(Broker, TellsAllWhoListen) {
  broker_->broadcast("news", "before");
  const auto one = broker_->listen("news");
  const auto two = broker_->listen("news");
  const auto other = broker_->listen("newspaper");
  broker_->broadcast("news", "a");
  broker_->broadcast("news", "b");
  for (listener* const each : {one.get(), two.get()}) {
    EXPECT_EQ(hear(*each), "a");
    EXPECT_EQ(hear(*each), "b");
    EXPECT_EQ(each->receive(0s), std::nullopt);
  }
  EXPECT_EQ(other->receive(0s), std::nullopt);
}

TEST_P(Broker, ListensToManyChannels) {
  const auto all = broker_->listen("celeryev/*");
  const auto workers = broker_->listen("celeryev/worker.*");
  broker_->broadcast("celeryev/task.sent", "1");
  broker_->broadcast("celery", "2");
  broker_->broadcast("celeryev/worker.heartbeat", "3");
  EXPECT_EQ(hear(*all), "1");
  EXPECT_EQ(hear(*all), "3");
  EXPECT_EQ(hear(*workers), "3");
  EXPECT_EQ(all->receive(0s), std::nullopt);
}

TEST_P(Broker, WakesWhoListens) {
  const auto listener = broker_->listen("news");
  listener->wake();
  EXPECT_EQ(listener->receive(1h), std::nullopt);
  {
    std::jthread waker([&] { listener->wake(); });
    EXPECT_EQ(listener->receive(1h), std::nullopt);
  }
  std::jthread sender([&] { broker_->broadcast("news", "a"); });
  EXPECT_EQ(hear(*listener), "a");
}

TEST_P(Broker, BringsAnswersToWhoAsked) {
  const auto mine = broker_->answers("key-1");
  const auto others = broker_->answers("key-2");
  const auto all = broker_->listen("*");
  broker_->answer("reply.celery.pidbox", "key-1", "pong");
  broker_->answer("reply.celery.pidbox", "key-1", "pong too");
  broker_->answer("reply.celery.pidbox", "key-3", "nobody");
  EXPECT_EQ(hear(*mine), "pong");
  EXPECT_EQ(hear(*mine), "pong too");
  EXPECT_EQ(others->receive(0s), std::nullopt);
}

TEST_P(Broker, GivesEachOfManyToOne) {
  constexpr int count = 10'000;
  std::mutex mutex;
  std::multiset<std::string> seen;
  std::atomic<int> settled{0};
  std::vector<std::unique_ptr<consumer>> consumers;
  for (int i = 0; i < 3; ++i) consumers.push_back(take_from({"q"}));
  std::vector<std::jthread> threads;
  for (const auto& one : consumers)
    threads.emplace_back([&, from = one.get()] {
      while (settled < count) {
        const auto got = from->receive(64, long_enough);
        {
          const std::lock_guard lock(mutex);
          for (const delivery& each : got) seen.insert(each.text);
        }
        settle(*from, got);
        if (settled.fetch_add(static_cast<int>(got.size())) + static_cast<int>(got.size()) >= count)
          for (const auto& each : consumers) each->wake();
      }
    });
  for (int sent = 0; sent < count; sent += 500) {
    std::vector<std::string> batch;
    for (int i = sent; i < sent + 500; ++i) batch.push_back(std::to_string(i));
    send("q", batch);
  }
  threads.clear();
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(count));
  EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), static_cast<std::size_t>(count));
  EXPECT_EQ(info("q").waiting + info("q").held, 0U);
}

TEST_P(Broker, ManyMaySendAtOnce) {
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 50; ++i) send("q", {std::to_string(t * 50 + i)});
      });
  }
  const auto consumer = take_from({"q"});
  const auto all = texts(take(*consumer, 200));
  EXPECT_EQ(std::set(all.begin(), all.end()).size(), 200U);
}

TEST_P(Broker, CarriesAnyText) {
  const std::string every = std::string("null: \0, quotes: '\"\\, ", 22) + "\u00e9\u4e2d\U0001F600 \x7f\x01\n";
  const std::string big(10'000'000, 'x');
  const std::string awkward_queue = "q'\"; -- \u4e2d";
  send(awkward_queue, {every, big, ""});
  const auto listener = broker_->listen("c");
  broker_->broadcast("c", every);
  EXPECT_EQ(hear(*listener), every);
  const auto consumer = take_from({awkward_queue});
  const auto all = take(*consumer, 3);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].text, every);
  EXPECT_TRUE(all[1].text == big);
  EXPECT_EQ(all[2].text, "");
  settle(*consumer, all);
}

TEST_P(Broker, TakesLargeBatches) {
  std::vector<std::string> many(5000, "text");
  send("q", many);
  const auto consumer = take_from({"q"});
  const auto all = take(*consumer, many.size());
  EXPECT_EQ(all.size(), many.size());
  settle(*consumer, all);
  EXPECT_EQ(info("q").held, 0U);
  broker_->publish({});
}

TEST_P(Broker, IsTheSameWhoeverOpensIt) {
  const auto again = open_broker(url());
  send("q", {"a"});
  const auto consumer = again->consume("other", {"q"});
  EXPECT_THAT(texts(take(*consumer, 1)), ElementsAre("a"));
  EXPECT_EQ(info("q").held, 1U);
  EXPECT_EQ(again->is_shared(), GetParam() != "memory");
  EXPECT_TRUE(again->name().starts_with(GetParam() + ":")) << again->name();
}

TEST_P(Broker, ConsumersMayOutliveIt) {
  send("q", {"a", "b"});
  auto consumer = take_from({"q"});
  const auto listener = broker_->listen("c");
  broker_.reset();
  const auto got = take(*consumer, 1);
  EXPECT_THAT(texts(got), ElementsAre("a"));
  settle(*consumer, got);
  EXPECT_EQ(listener->receive(0s), std::nullopt);
}

// Of those that only we use.
class Embedded : public Broker {};

TEST_P(Embedded, HoldsBackWhatIsSentUntilItIsDue) {
  const wall_time due = std::chrono::system_clock::now() + 200ms;
  broker_->publish(std::vector<outgoing_message>{
      {"q", "later", {}, due}, {"q", "much later", {}, due + 1h}, {"q", "past", {}, due - 1h}, {"q", "now"}});
  EXPECT_EQ(info("q").delayed, 2U);
  const auto consumer = take_from({"q"});
  EXPECT_THAT(texts(take(*consumer, 2)), ElementsAre("past", "now"));
  EXPECT_THAT(texts(take(*consumer, 1)), ElementsAre("later"));
  EXPECT_GE(std::chrono::system_clock::now(), due);
  EXPECT_THAT(consumer->receive(1, 0s), IsEmpty());
}

TEST_P(Broker, SendsWhatFollowsOnce) {
  send("q", {"a"});
  const auto consumer = take_from({"q"});
  const std::vector<settlement> settled{{take(*consumer, 1).at(0).tag, false, {{"next", "c"}}}};
  consumer->settle(settled);
  consumer->settle(settled);
  EXPECT_EQ(info("next").waiting, 1U);
}

INSTANTIATE_TEST_SUITE_P(All, Embedded, testing::Values("memory", "sqlite"), tutti_test::name_of_place);
INSTANTIATE_TEST_SUITE_P(All, Broker, testing::Values("memory", "sqlite", "redis"), tutti_test::name_of_place);

TEST(OpenBroker, NamesTheSchemesThatItKnows) {
  broker_url url;
  url.scheme = "amqp";
  try {
    (void)open_broker(url);
    FAIL();
  } catch (const bad_spec& e) {
    EXPECT_STREQ(e.what(), "no broker for \"amqp:\"; known: redis://, redis+socket://, sqlite:, memory://");
  }
}

}  // namespace
}  // namespace tutti::cluster
