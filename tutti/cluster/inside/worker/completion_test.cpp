// How tasks' ends are settled with a broker and a store that refuse: for a while, for good, or for ever.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/inside/worker/completion.hpp>
#include <tutti/cluster/inside/worker/retried.hpp>

#include <tutti/base/log.hpp>
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <tests/support/eventually.hpp>
#include <thread>
#include <vector>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using tutti_test::eventually;

// It notes what is settled; `answer`, called first, may throw.
class fake_consumer : public consumer {
 public:
  std::function<void(std::span<const settlement>)> answer = [](auto) {};
  std::atomic<bool> is_others{false}, is_forgotten{false};  // what it is to settle

  std::vector<settlement> done() {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  [[nodiscard]] bool is_stopped() {
    const std::lock_guard lock(mutex_);
    return stopped_;
  }
  /// What a real one does while it cannot settle. Blocks until stop().
  void refuse_until_stopped() {
    std::unique_lock lock(mutex_);
    stopping_.wait(lock, [this] { return stopped_; });
    throw broker_error("it says no");
  }

  std::vector<delivery> receive(std::size_t, std::chrono::nanoseconds) override { return {}; }
  void wake() noexcept override {}
  std::vector<settle_end> settle(std::span<const settlement> settled) override {
    answer(settled);
    const std::lock_guard lock(mutex_);
    done_.insert(done_.end(), settled.begin(), settled.end());
    return std::vector<settle_end>(settled.size(), is_others ? settle_end::gone : settle_end::done);
  }
  bool holds(const std::string&) override { return !is_others || is_forgotten; }
  void stop() noexcept override {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    stopping_.notify_all();
  }
  bool connected() const noexcept override { return true; }
  void set_queues(std::vector<std::string>) override {}

 private:
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stopped_ = false;
  std::vector<settlement> done_;
};

// The app's, which takes nothing while it is full.
class full_broker : public broker {
 public:
  explicit full_broker(std::shared_ptr<broker> under) : under_(std::move(under)) {}
  std::atomic<bool> is_full{false};
  std::atomic<int> room{1'000'000};  // steps
  std::atomic<int> refused{0};

  void publish(std::span<const outgoing_message> messages) override {
    if (is_full.load() || room.fetch_sub(1) <= 0) {
      ++refused;
      throw broker_error("it is full");
    }
    under_->publish(messages);
  }
  std::unique_ptr<consumer> consume(const std::string& name, std::vector<std::string> queues) override {
    return under_->consume(name, std::move(queues));
  }
  std::vector<queue_info> queues(std::span<const std::string> names) override { return under_->queues(names); }
  std::vector<std::string> peek(const std::string& queue, std::size_t most) override {
    return under_->peek(queue, most);
  }
  std::uint64_t purge(const std::string& queue) override { return under_->purge(queue); }
  void broadcast(const std::string& channel, const std::string& text) override { under_->broadcast(channel, text); }
  std::unique_ptr<listener> listen(const std::string& channel) override { return under_->listen(channel); }
  void answer(const std::string& exchange, const std::string& key, const std::string& text) override {
    under_->answer(exchange, key, text);
  }
  std::unique_ptr<listener> answers(const std::string& key) override { return under_->answers(key); }
  std::string name() const override { return under_->name(); }
  bool is_shared() const noexcept override { return under_->is_shared(); }

 private:
  const std::shared_ptr<broker> under_;
};

class Completion : public testing::Test {
 protected:
  ended_job job_of(const std::string& tag) {
    auto one = std::make_shared<job>();
    one->message.task = "any";
    one->message.id = "id-" + tag;
    one->from = {tag, "celery", encode_message(one->message), {}, 0};
    return {std::move(one)};
  }
  // Acknowledged before it ran; one message follows it.
  ended_job early_job(const std::string& tag) {
    ended_job early = job_of(tag);
    early.of->acknowledged.store(true);
    early.brings.follow.push_back({"next", "after " + tag, {}, {}});
    return early;
  }
  std::vector<std::string> tags() {
    std::vector<std::string> all;
    for (const settlement& one : consumer_.done()) all.push_back(one.tag + (one.give_back ? " back" : ""));
    return all;
  }

  const log_capture quiet_;
  const app app_{{.broker = "memory://" + new_uuid()}};
  fake_consumer consumer_;
  job_queue queue_{1, 0};
  std::atomic<int> chores_{0};
  std::function<void()> chore_ = [this] { ++chores_; };
  const std::shared_ptr<full_broker> broker_ = std::make_shared<full_broker>(app_.tasks());
  completion completion_{broker_, app_.results(), consumer_, queue_, {"celery", 1h}, [this] { chore_(); }};
};

TEST_F(Completion, EndsWithItsPatienceWhileTheBrokerRefusesForEver) {
  consumer_.answer = [this](auto) { consumer_.refuse_until_stopped(); };
  completion_.add(job_of("a"));
  completion_.add(job_of("b"));
  completion_.finish(100ms);
  EXPECT_EQ(completion_.let_go(), 2U);
  EXPECT_TRUE(consumer_.is_stopped());
  EXPECT_THAT(consumer_.done(), SizeIs(0));
  EXPECT_TRUE(queue_.is_idle());
}

TEST_F(Completion, WhatWasSentIsNotSentAgainWhenTheRestIsRefused) {
  ended_job early = early_job("a");
  for (std::size_t i = 0; i < 2 * most_sent_at_once; ++i) early.brings.follow.push_back({"next", "{}", {}, {}});
  broker_->room = 1;
  completion_.add(std::move(early));
  ASSERT_TRUE(eventually([&] { return broker_->refused >= 2; }));
  EXPECT_EQ(app_.tasks()->queues(std::vector<std::string>{"next"}).at(0).waiting, most_sent_at_once);
  broker_->room = 10;
  completion_.finish(30s);
  EXPECT_EQ(app_.tasks()->queues(std::vector<std::string>{"next"}).at(0).waiting, 2 * most_sent_at_once + 1);
}

TEST_F(Completion, AChordGoesOnWithWhoHasTheMessage) {
  const auto last = [&](const std::string& tag) {
    ended_job part = job_of(tag);
    part.brings.complete.push_back("g");
    return part;
  };
  app_.results()->begin_chord("g", 1);
  ASSERT_TRUE(app_.results()->add_chord_part("g", 0, "x", "[]"));
  consumer_.is_others = true;
  completion_.add(last("a"), true);
  EXPECT_TRUE(eventually([&] { return queue_.is_idle(); }));
  EXPECT_TRUE(app_.results()->add_chord_part("g", 0, "x", "[]"));
  EXPECT_FALSE(completion_.acknowledge(*job_of("b").of));
  consumer_.is_forgotten = true;  // by a broker that was started anew: nobody else has it
  EXPECT_TRUE(completion_.acknowledge(*job_of("b").of));
  consumer_.is_others = false;
  completion_.add(last("c"), true);
  EXPECT_TRUE(eventually([&] { return queue_.is_idle(); }));
  EXPECT_FALSE(app_.results()->add_chord_part("g", 0, "x", "[]"));
}

TEST_F(Completion, TakesItsTimeToEndWhileAnythingGetsDone) {
  virtual_clock time;
  std::atomic<int> begun{0}, allowed{0};
  consumer_.answer = [&](auto) {
    const int mine = ++begun;
    if (!eventually([&] { return allowed >= mine || consumer_.is_stopped(); }) || consumer_.is_stopped()) {
      throw broker_error("nobody waits any more");
    }
  };
  std::thread slot([&] {
    const job_ptr one = job_of("a").of;
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(completion_.acknowledge(*one));
    EXPECT_THROW(static_cast<void>(completion_.acknowledge(*one)), broker_error);
  });
  ASSERT_TRUE(eventually([&] { return begun == 1; }));
  completion_.begin_ending(5s);
  for (int i = 1; i <= 3; ++i) {
    time.advance(4s);
    EXPECT_FALSE(consumer_.is_stopped());
    allowed = i;
    ASSERT_TRUE(eventually([&] { return begun == i + 1; }));
  }
  time.advance(1s);  // it sees the last one
  time.advance(6s);
  EXPECT_TRUE(consumer_.is_stopped());
  slot.join();
  completion_.finish(5s);
}

TEST_F(Completion, TriesAgainWhenTheBrokerIsBack) {
  std::atomic<int> left{3};
  consumer_.answer = [&](auto) {
    if (left-- > 0) throw broker_error("away");
  };
  completion_.add(job_of("a"), true);
  completion_.finish(30s);
  EXPECT_THAT(tags(), ElementsAre("a"));
  EXPECT_EQ(completion_.let_go(), 0U);
}

TEST_F(Completion, SettlesTheOthersWhenOneIsRefused) {
  consumer_.answer = [](std::span<const settlement> settled) {
    for (const settlement& one : settled) {
      const bool is_dead = !one.follow.empty() && one.follow.front().queue == "celery.dead";
      if (one.tag == "b" && !is_dead) throw broker_refusal("never");
    }
  };
  for (const char* tag : {"a", "b", "c"}) completion_.add(job_of(tag));
  completion_.finish(30s);
  EXPECT_THAT(tags(), testing::UnorderedElementsAre("a", "b", "c"));
  for (const settlement& one : consumer_.done()) EXPECT_THAT(one.follow, SizeIs(one.tag == "b" ? 1 : 0));
  EXPECT_EQ(completion_.let_go(), 0U);
}

TEST_F(Completion, ParksInItsOwnQueueWhatCannotEvenBeBuried) {
  consumer_.answer = [](std::span<const settlement> settled) {
    for (const outgoing_message& m : settled.front().follow) {
      if (m.queue != "celery") throw broker_refusal("never");
    }
  };
  ended_job refused = job_of("a");
  refused.brings.follow.push_back({"next", "x", {}, {}});
  completion_.add(std::move(refused));
  completion_.finish(30s);
  ASSERT_THAT(tags(), ElementsAre("a"));
  const std::vector<outgoing_message> follow = consumer_.done().front().follow;
  ASSERT_THAT(follow, SizeIs(1));
  EXPECT_EQ(follow.front().queue, "celery");
  EXPECT_GT(follow.front().due, std::chrono::system_clock::now() + 20s);  // it does not come back at once
  EXPECT_EQ(lost_attempts(decode_message(follow.front().text)), 1);
  EXPECT_EQ(completion_.let_go(), 0U);
}

TEST_F(Completion, BuriesTheHeadOfWhatIsTooLongForAnyPlace) {
  consumer_.answer = [](std::span<const settlement> settled) {
    for (const outgoing_message& m : settled.front().follow) {
      if (m.text.size() > 200'000) throw broker_refusal("too long");
    }
  };
  ended_job refused = job_of("a");
  refused.of->from.text = std::string(199'999, 'x');
  refused.brings.follow.push_back({"celery.dead", std::string(300'000, 'x'), {}, {}});
  completion_.add(std::move(refused));
  completion_.finish(30s);
  ASSERT_THAT(tags(), ElementsAre("a"));
  const std::vector<outgoing_message> follow = consumer_.done().front().follow;
  ASSERT_THAT(follow, SizeIs(1));
  EXPECT_EQ(follow.front().queue, "celery.dead");
  EXPECT_THAT(follow.front().text, HasSubstr("its end is refused: too long; here are the first 65536 of its 199999 "));
  EXPECT_EQ(completion_.let_go(), 0U);
}

// Not what its dead letters' queue refuses, whatever it is: that is parked as it is.
TEST_F(Completion, ParksAsItIsWhatIsTooLongToBeRun) {
  std::size_t most = 0;
  consumer_.answer = [&](std::span<const settlement> settled) {
    for (const outgoing_message& m : settled.front().follow) {
      if (m.queue != "celery" || m.text.size() > most) throw broker_refusal("never");
    }
  };
  ended_job refused = job_of("a");
  refused.of->from.text = std::string(100'000'001, 'x');
  most = refused.of->from.text.size();
  refused.brings.follow.push_back({"celery.dead", "x", {}, {}});
  completion_.add(std::move(refused));
  completion_.finish(30s);
  EXPECT_THAT(tags(), ElementsAre("a"));
}

TEST_F(Completion, GivesBackWhatCannotBeSettledAtAll) {
  consumer_.answer = [](std::span<const settlement> settled) {
    if (settled.size() > 1) throw broker_refusal("too much");
    if (settled.front().tag == "a" && !settled.front().give_back) throw std::bad_alloc();
  };
  completion_.add(job_of("a"));
  completion_.add(job_of("b"), true);
  EXPECT_TRUE(eventually([&] { return consumer_.done().size() == 2; }));  // while it lives
  EXPECT_THAT(tags(), testing::UnorderedElementsAre("a back", "b"));
  completion_.finish(30s);
  EXPECT_EQ(completion_.let_go(), 0U);
}

TEST_F(Completion, LeavesToTheConsumerWhatCannotEvenGoBack) {
  consumer_.answer = [](auto) { throw broker_refusal("never"); };
  completion_.add(job_of("a"));
  ended_job acknowledged = job_of("b");
  acknowledged.of->acknowledged.store(true);
  completion_.add(std::move(acknowledged));  // has nothing to settle
  completion_.finish(30s);
  EXPECT_EQ(completion_.let_go(), 1U);
  EXPECT_TRUE(queue_.is_idle());
}

TEST_F(Completion, SettlesWhileWhatFollowsAnEarlyOneCannotBeSent) {
  broker_->is_full = true;
  for (const char* tag : {"a", "b"}) completion_.add(early_job(tag));
  ASSERT_TRUE(eventually([&] { return broker_->refused >= 2; }));
  completion_.add(job_of("c"));
  completion_.add(early_job("d"), true);
  completion_.add(job_of("e"));
  EXPECT_TRUE(eventually([&] { return consumer_.done().size() == 2; }));
  EXPECT_THAT(tags(), ElementsAre("c", "e"));
  EXPECT_FALSE(queue_.is_idle());
  broker_->is_full = false;
  completion_.finish(30s);
  EXPECT_THAT(broker_->peek("next", 10), testing::UnorderedElementsAre("after a", "after b", "after d"));
  EXPECT_EQ(completion_.let_go(), 0U);
  EXPECT_TRUE(queue_.is_idle());
}

TEST_F(Completion, EndsWithItsPatienceWhileWhatFollowsCannotBeSent) {
  broker_->is_full = true;
  completion_.add(early_job("a"));
  completion_.add(job_of("b"));
  completion_.finish(50ms);
  EXPECT_THAT(tags(), ElementsAre("b"));
  EXPECT_EQ(completion_.let_go(), 1U);
  EXPECT_TRUE(queue_.is_idle());
}

TEST_F(Completion, DoesOneChoreForAllWhoWantIt) {
  for (int i = 0; i < 1000; ++i) completion_.want_chore();
  EXPECT_TRUE(eventually([&] { return chores_ > 0; }));
  completion_.finish(30s);
  EXPECT_LE(chores_, 2);
}

TEST_F(Completion, DoesAChoreAgainThatFailed) {
  chore_ = [this] {
    if (++chores_ == 1) throw broker_error("away");
  };
  completion_.want_chore();
  EXPECT_TRUE(eventually([&] { return chores_ == 2; }));
}

TEST_F(Completion, DoesAChoreBeforeItEndsAndOnlyOnceThen) {
  completion_.want_chore();
  EXPECT_TRUE(eventually([&] { return chores_ == 1; }));
  chore_ = [this] {
    ++chores_;
    throw broker_error("away");
  };
  completion_.want_chore();
  completion_.finish(30s);
  EXPECT_EQ(chores_, 2);
}

TEST(Retried, GoesOnUntilItIsToldNotTo) {
  int calls = 0;
  std::vector<std::chrono::milliseconds> pauses;
  const auto fails = [&] {
    ++calls;
    throw broker_error("away");
  };
  EXPECT_THROW(retried(fails,
                       [&](const broker_error&, std::chrono::milliseconds pause) {
                         pauses.push_back(pause);
                         return pauses.size() < 8;
                       }),
               broker_error);
  EXPECT_EQ(calls, 8);
  EXPECT_THAT(pauses, ElementsAre(20ms, 40ms, 80ms, 160ms, 320ms, 640ms, 1000ms, 1000ms));
}

}  // namespace
}  // namespace tutti::cluster
