// Broadcasts: everybody gets everything from its subscription on; slow subscribers; the end.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/channel/channels.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::broadcast;
using tutti::slow_reader;
using tutti::subscription;
using tutti::sync_wait;
using tutti::task;
using tutti_test::until;
using tutti_test::waiting_for;
using tutti_test::watchdog;

class Broadcast : public tutti_test::virtual_time {};

TEST_F(Broadcast, EverybodyGetsEverything) {
  broadcast<std::string> news(4);
  auto a = news.subscribe(), b = news.subscribe();
  EXPECT_EQ(news.subscribers(), 2U);
  news.send("one");
  news.send("two");
  EXPECT_EQ(a.receive(), "one");
  EXPECT_EQ(a.receive(), "two");
  EXPECT_EQ(a.try_receive(), std::nullopt);
  EXPECT_EQ(b.size(), 2U);
  EXPECT_EQ(b.receive(), "one");
  EXPECT_EQ(b.receive(), "two");
}

TEST_F(Broadcast, ALateJoinerSeesWhatIsSentFromThenOn) {
  broadcast<int> news(4);
  news.send(1);
  auto a = news.subscribe();
  news.send(2);
  auto b = news.subscribe();
  news.send(3);
  EXPECT_EQ(a.receive(), 2);
  EXPECT_EQ(a.receive(), 3);
  EXPECT_EQ(b.receive(), 3);
}

TEST_F(Broadcast, WithoutSubscribersNothingIsKept) {
  broadcast<std::shared_ptr<int>> news(1);
  auto counted = std::make_shared<int>(0);
  for (int i = 0; i < 10; ++i) news.send(counted);
  EXPECT_EQ(counted.use_count(), 1);
}

TEST_F(Broadcast, ASlowSubscriberBlocksSenders) {
  broadcast<int> news(2);
  auto fast = news.subscribe(), slow = news.subscribe();
  news.send(1);
  news.send(2);
  EXPECT_FALSE(news.try_send(3));
  EXPECT_EQ(fast.receive(), 1);
  EXPECT_EQ(fast.receive(), 2);
  EXPECT_FALSE(news.try_send(3));
  std::jthread sender([&] { news.send(3); });
  until([] { return waiting_for("channel::send") == 1; });
  EXPECT_EQ(slow.receive(), 1);
  sender.join();
  EXPECT_EQ(slow.receive(), 2);
  EXPECT_EQ(slow.receive(), 3);
  EXPECT_EQ(fast.receive(), 3);
}

TEST_F(Broadcast, ASubscriberThatLeavesBlocksNobody) {
  broadcast<int> news(1);
  auto stays = news.subscribe();
  auto leaves = std::make_unique<subscription<int>>(news.subscribe());
  news.send(1);
  EXPECT_EQ(stays.receive(), 1);
  std::jthread sender([&] { news.send(2); });
  until([] { return waiting_for("channel::send") == 1; });
  leaves.reset();
  sender.join();
  EXPECT_EQ(stays.receive(), 2);
}

TEST_F(Broadcast, ASlowSubscriberLosesTheOldest) {
  broadcast<int> news(3, slow_reader::drop_oldest, "news");
  auto fast = news.subscribe(), slow = news.subscribe();
  for (int i = 0; i < 10; ++i) {
    news.send(i);
    EXPECT_EQ(fast.receive(), i);
  }
  EXPECT_EQ(slow.lost(), 7U);
  EXPECT_EQ(slow.size(), 3U);
  for (int i = 7; i < 10; ++i) EXPECT_EQ(slow.receive(), i);
  EXPECT_EQ(slow.lost(), 7U);
  EXPECT_EQ(fast.lost(), 0U);
}

TEST_F(Broadcast, SubscribersDrainThenSeeClosed) {
  std::optional<broadcast<int>> news(std::in_place, 3, slow_reader::block, "news");
  auto a = news->subscribe();
  news->send(1);
  news.reset();
  EXPECT_EQ(a.receive(), 1);
  EXPECT_EQ(a.next(), std::nullopt);
  EXPECT_THROW(a.receive(), tutti::closed);
}

TEST_F(Broadcast, ClosingWakesSubscribersAndSenders) {
  broadcast<int> news(1);
  auto a = news.subscribe(), b = news.subscribe();
  std::jthread reader([&] {
    EXPECT_EQ(a.next(), 1);
    EXPECT_EQ(a.next(), std::nullopt);
  });
  news.send(1);
  bool closed = false;
  std::jthread sender([&] {
    try {
      news.send(2);
    } catch (const tutti::closed&) {
      closed = true;
    }
  });
  until([] { return waiting_for("channel::send") == 1 && waiting_for("channel::next") == 1; });
  news.close();
  sender.join();
  EXPECT_TRUE(closed);
  EXPECT_THROW(news.send(3), tutti::closed);
}

TEST_F(Broadcast, Poison) {
  broadcast<std::shared_ptr<int>> news(2);
  auto counted = std::make_shared<int>(0);
  auto a = news.subscribe();
  news.send(counted);
  news.poison();
  EXPECT_EQ(counted.use_count(), 1);
  EXPECT_THROW(a.next(), tutti::poisoned);
  EXPECT_THROW(news.send(counted), tutti::poisoned);
}

TEST_F(Broadcast, CoroutinesAndSelect) {
  broadcast<int> news(2);
  auto listen = [&](subscription<int> mine) -> task<int> {
    int sum = 0;
    bool open = true;
    while (open) {
      co_await tutti::select_async(tutti::on(mine, [&](std::optional<int> x) {
        open = x.has_value();
        sum += x.value_or(0);
      }));
    }
    co_return sum;
  };
  auto tell = [&]() -> task<> {
    for (int i = 0; i < 100; ++i) co_await news.send_async(i);
    news.close();
  };
  auto body = [&]() -> task<int> {
    auto a = tutti::spawn(listen(news.subscribe()));
    auto b = tutti::spawn(listen(news.subscribe()));
    co_await tell();
    const int left = co_await std::move(a);
    co_return left + co_await std::move(b);
  };
  EXPECT_EQ(sync_wait(body()), 2 * 4950);
}

// What elements do when they are destroyed may use the broadcast: it is done without its lock.
TEST_F(Broadcast, DestructorsMayUseIt) {
  struct counts {
    broadcast<std::shared_ptr<counts>>& news;
    int& seen;
    ~counts() { seen += static_cast<int>(news.subscribers()) + 1; }
  };
  int seen = 0;
  broadcast<std::shared_ptr<counts>> news(2, slow_reader::drop_oldest);
  const auto send_two = [&] {
    for (int i = 0; i < 2; ++i) news.send(std::make_shared<counts>(news, seen));
  };
  send_two();  // to nobody
  EXPECT_EQ(std::exchange(seen, 0), 2);
  std::optional<subscription<std::shared_ptr<counts>>> a(news.subscribe()), b(news.subscribe());
  send_two();
  EXPECT_EQ(seen, 0);
  send_two();  // drops the oldest
  EXPECT_EQ(std::exchange(seen, 0), 2 * 3);
  a->receive();
  b->receive();
  EXPECT_EQ(std::exchange(seen, 0), 3);
  a.reset();
  EXPECT_EQ(seen, 0) << "the other has not received it";
  b.reset();
  EXPECT_EQ(std::exchange(seen, 0), 1);
  a.emplace(news.subscribe());
  send_two();
  news.poison();
  EXPECT_EQ(std::exchange(seen, 0), 2 * 2);
}

TEST_F(Broadcast, AMovedSubscription) {
  broadcast<int> news(1);
  auto a = news.subscribe();
  auto b = std::move(a);
  // NOLINTBEGIN(bugprone-use-after-move)
  EXPECT_THROW(a.try_receive(), std::logic_error);
  EXPECT_THROW(a.receive(), std::logic_error);
  EXPECT_THROW(static_cast<void>(a.receive_async()), std::logic_error);
  EXPECT_THROW(static_cast<void>(a.size()), std::logic_error);
  EXPECT_THROW(static_cast<void>(a.lost()), std::logic_error);
  // NOLINTEND(bugprone-use-after-move)
  news.send(1);
  EXPECT_EQ(b.receive(), 1);
}

TEST(BroadcastDeathTest, DestroyedWhileSomebodyWaitsToSend) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto news = std::make_unique<broadcast<int>>(1, slow_reader::block, "news");
        auto a = news->subscribe();
        news->send(1);
        std::jthread sender([&to = *news] { to.send(2); });
        until([&] { return waiting_for("channel::send") == 1; });
        news.reset();
      },
      "fatal: broadcast \"news\" destroyed while 1 waits for it");
}

TEST_F(Broadcast, BadCapacities) {
  EXPECT_THROW(broadcast<int>(0), std::invalid_argument);
  EXPECT_THROW(broadcast<int>(-1), std::invalid_argument);
  EXPECT_THROW(broadcast<int>(std::ptrdiff_t{1} << 40), std::invalid_argument);
}

// Its end runs whatever was noted, once.
struct last_words {
  explicit last_words(int n, std::function<void()>* w) noexcept : number(n), words(w) {}
  last_words(const last_words&) = default;
  last_words(last_words&& other) noexcept : number(other.number), words(std::exchange(other.words, nullptr)) {}
  last_words& operator=(const last_words&) = delete;
  ~last_words() {
    if (words == nullptr || !*words) return;
    const auto once = std::exchange(*words, {});
    once();
  }
  int number;
  std::function<void()>* words;
};

TEST_F(Broadcast, WhoLeavesLetsOthersInBetweenAndNothingIsTakenForSomethingElse) {
  broadcast<last_words> news(8);
  std::function<void()> words;
  auto stays = news.subscribe();
  std::vector<int> got;
  {
    auto leaves = news.subscribe();
    for (int n = 1; n <= 3; ++n) news.send(last_words(n, &words));
    for (int n = 1; n <= 3; ++n) got.push_back(stays.receive().number);
    // When the first that nobody is to receive any more ends, the others are still to be let go.
    words = [&] {
      news.send(last_words(4, nullptr));
      news.send(last_words(5, nullptr));
      got.push_back(stays.receive().number);
    };
  }
  got.push_back(stays.receive().number);
  EXPECT_EQ(got, (std::vector{1, 2, 3, 4, 5}));
  EXPECT_TRUE(stays.empty());
}

// Several senders, subscribers that come and go: those that stay get everything, in each sender's order.
TEST(BroadcastStress, ComingAndGoing) {
  const watchdog dog(120s);
  constexpr int senders = 2, listeners = 3;
  constexpr int each = tutti_test::sanitized ? 1000 : 10'000;
  broadcast<int> news(8);
  std::atomic<int> wrong{0};
  std::atomic<bool> over{false};
  std::vector<std::jthread> listening, sending;
  for (int i = 0; i < listeners; ++i) {
    listening.emplace_back([&, mine = news.subscribe()]() mutable {
      int last[senders] = {-1, -1}, n = 0;
      for (const int x : mine) {
        const auto who = static_cast<std::size_t>(x % senders);
        if (x / senders != last[who] + 1) ++wrong;
        last[who] = x / senders;
        ++n;
      }
      if (n != senders * each) ++wrong;
    });
  }
  std::jthread guest([&] {
    while (!over) {
      auto mine = news.subscribe();
      for (int i = 0; i < 5; ++i) mine.receive_for(100us);
    }
  });
  for (int s = 0; s < senders; ++s) {
    sending.emplace_back([&, s] {
      for (int i = 0; i < each; ++i) news.send(i * senders + s);
    });
  }
  sending.clear();
  over = true;
  guest.join();
  news.close();
  listening.clear();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
