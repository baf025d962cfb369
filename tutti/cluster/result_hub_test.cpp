// result_hub and async_result: who waits hears of it, who does not leaves nothing behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/async_result.hpp>

#include <tutti/base/error.hpp>
#include <tutti/cluster/result_hub.hpp>
#include <tutti/cluster/signature.hpp>

#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <tests/support/cluster_client.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using tutti_test::client_bench;
using tutti_test::eventually;
using tutti_test::message_of;

class Results : public testing::Test {
 protected:
  void store(const std::string& id, std::string_view status, const std::string& json) {
    task_result r;
    r.id = id;
    r.status = status;
    r.result = json;
    const stored_result kept{id, encode_result(r), 60s, status == state::success};
    where_.results()->store(std::span(&kept, 1));
  }
  [[nodiscard]] std::size_t watched() const { return result_hub::of(where_)->watched(); }

  client_bench bench_{false, false};
  const app where_ = bench_.where();
};

TEST_F(Results, ThatAreThereAreGivenAtOnce) {
  store("there", "SUCCESS", "[1,2]");
  const auto r = result<std::vector<int>>("there");
  EXPECT_TRUE(r.ready());
  EXPECT_TRUE(r.successful());
  EXPECT_EQ(r.get(), (std::vector{1, 2}));
  EXPECT_EQ(result("there").get(), json{"[1,2]"});
  EXPECT_EQ(r.info(), "[1,2]");
  EXPECT_THROW(result<std::string>("there").get(), decode_error);
}

TEST_F(Results, ThatNobodyKnowsArePending) {
  const auto r = result<int>("nobody");
  EXPECT_FALSE(r.ready());
  EXPECT_EQ(r.state(), "PENDING");
  EXPECT_EQ(r.info(), "null");
  EXPECT_FALSE(r.failed());
  EXPECT_THAT(message_of<timed_out>([&] { (void)r.get(1ms); }), AllOf(HasSubstr("nobody"), HasSubstr("0.001s")));
}

TEST_F(Results, OnTheWayTellTheirProgress) {
  store("way", "PROGRESS", R"({"done":3})");
  const auto r = result<int>("way");
  EXPECT_EQ(r.state(), "PROGRESS");
  EXPECT_EQ(r.info(), R"({"done":3})");
  EXPECT_FALSE(r.ready());
  EXPECT_THROW((void)r.get(1ms), timed_out);
  store("way", "SUCCESS", "3");
  EXPECT_EQ(r.get(30s), 3);
}

TEST_F(Results, WakeAllWhoWait) {
  const auto r = result<int>("many");
  const auto other = result<int>("many");
  std::vector<int> got(6);
  std::vector<std::jthread> waiting;
  for (std::size_t i = 0; i < 6; ++i) {
    waiting.emplace_back([&, i] { got[i] = (i % 2 == 0 ? r : other).get(30s); });
  }
  auto future = r.future();
  store("many", "SUCCESS", "7");
  waiting.clear();
  for (const int n : got) EXPECT_EQ(n, 7);
  EXPECT_EQ(future.get(), 7);
  EXPECT_TRUE(eventually([&] { return watched() == 0; }));
}

TEST_F(Results, ThatNobodyWaitsForLeaveNothing) {
  for (int i = 0; i < 100; ++i) {
    const auto r = result<int>("dropped" + std::to_string(i));
    EXPECT_THROW((void)r.get(0ns), timed_out);
    EXPECT_EQ(watched(), 1U);
  }
  EXPECT_EQ(watched(), 0U);
}

TEST_F(Results, ThatComeBetweenTwoWaitsAreNotMissed) {
  constexpr int rounds = 300;
  std::jthread storing([&] {
    for (int i = 0; i < rounds; ++i) store("race" + std::to_string(i), "SUCCESS", std::to_string(i));
  });
  for (int i = 0; i < rounds; ++i) {
    const std::string id = "race" + std::to_string(i);
    try {
      (void)result<int>(id).get(0ns);
    } catch (const timed_out&) {  // not yet
    }
    ASSERT_EQ(result<int>(id).get(30s), i);
  }
}

TEST_F(Results, AreNotWaitedForWhereTheyAreHeardOf) {
  const auto never = result<int>("never");
  std::promise<std::string> said, had;
  result<int>("heard").future().on_done([&] {
    said.set_value(message_of<std::logic_error>([&] { static_cast<void>(never.get()); }));
    had.set_value(std::to_string(result<int>("there").get()));
  });
  store("there", "SUCCESS", "5");
  store("heard", "SUCCESS", "1");
  EXPECT_THAT(said.get_future().get(), HasSubstr("cannot be waited for in a callback of a result"));
  EXPECT_EQ(had.get_future().get(), "5");
}

TEST_F(Results, AreForgotten) {
  store("gone", "SUCCESS", "1");
  const auto r = result<int>("gone");
  EXPECT_EQ(r.get(30s), 1);
  r.forget();
  EXPECT_EQ(result<int>("gone").state(), "PENDING");
  EXPECT_EQ(r.get(), 1);  // it knows
}

// Of tasks that an earlier one keeps from coming Celery's workers do not always tell.
TEST_F(Results, EndWithWhatCameBeforeThem) {
  const auto step = [](const std::string& id) {
    return signature::from_json(R"({"task":"t","args":[],"kwargs":{},"options":{"task_id":")" + id + R"("}})");
  };
  const auto store_bad = [&](const std::string& id, std::string_view status) {
    task_result r;
    r.id = id;
    r.status = status;
    r.failure = celery_failure(status == state::revoked ? "TaskRevokedError" : "ValueError", "of " + id);
    const stored_result kept{id, encode_result(r), 60s, false};
    where_.results()->store(std::span(&kept, 1));
  };
  {
    const auto last = chain(step("a1"), step("a2"), step("a3")).delay<int>();
    auto future = last.future();
    store("a1", "SUCCESS", "1");
    EXPECT_FALSE(last.ready());
    store_bad("a2", state::revoked);
    EXPECT_THROW((void)future.get(), cancelled);
    EXPECT_THROW((void)last.get(30s), cancelled);
    EXPECT_EQ(last.state(), "REVOKED");
  }
  {
    const auto body = (group(step("b1") | step("b2"), step("b3")) | step("b4") | step("b5")).delay<int>();
    store_bad("b4", state::failure);  // its chord's
    EXPECT_EQ(body.state(), "FAILURE");
    EXPECT_THROW((void)body.get(30s), remote_error);
    const auto same = (group(step("c1") | step("c2"), step("c3")) | step("c4")).delay<int>();
    store_bad("c1", state::failure);
    EXPECT_EQ(same.state(), "PENDING");  // until the chord tells, when c3 has ended too
    store_bad("c4", state::failure);
    EXPECT_THROW((void)same.get(30s), remote_error);
    const auto never = (group(step("f1") | step("f2"), step("f3")) | step("f4")).delay<int>();
    store_bad("f1", state::revoked);
    EXPECT_THAT(tutti_test::message_of<remote_error>([&] { (void)never.get(30s); }),
                testing::HasSubstr("Dependency f1 was revoked"));
    EXPECT_EQ(never.state(), "FAILURE");
  }
  {
    const auto many = (step("d1") | group(step("d2"), step("d3") | step("d4"))).delay<std::vector<int>>();
    store("d2", "SUCCESS", "2");
    store_bad("d3", state::failure);
    EXPECT_EQ(many.state(), "FAILURE");
    const auto twice =
        (group(step("g1") | step("g2"), step("g3")) | group(step("g4"), step("g5"))).delay<std::vector<int>>();
    store_bad("g1", state::revoked);
    store("g4", "SUCCESS", "4");
    EXPECT_THROW((void)twice.get(30s), remote_error);
    const auto members = group(step("e1") | step("e2"), step("e3")).delay<int>();
    store_bad("e1", state::revoked);
    store("e3", "SUCCESS", "3");
    EXPECT_EQ(members[1].get(30s), 3);
    EXPECT_THROW((void)members[0].get(30s), cancelled);
  }
  EXPECT_TRUE(eventually([&] { return watched() == 0; }));
}

TEST_F(Results, ThatWereRevokedAreCancelled) {
  task_result r;
  r.id = "revoked";
  r.status = state::revoked;
  r.failure = celery_failure("TaskRevokedError", "terminated");
  const stored_result kept{r.id, encode_result(r), 60s, false};
  where_.results()->store(std::span(&kept, 1));
  EXPECT_THROW(result<int>("revoked").get(30s), cancelled);
  EXPECT_EQ(result<int>("revoked").state(), "REVOKED");
}

// Cannot be reached at first; what it is asked for after that, it has.
class late_store : public result_store {
 public:
  class late_watch : public result_watch {
   public:
    void add(std::span<const std::string> ids) override {
      if (std::exchange(is_away_, false)) throw broker_error("away");
      const std::lock_guard lock(mutex_);
      heard_.assign(ids.begin(), ids.end());
      changed_.notify_all();
    }
    void remove(std::span<const std::string> /*ids*/) override {}
    std::vector<std::pair<std::string, std::string>> next(std::chrono::nanoseconds patience) override {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, patience, [this] { return is_over_ || !heard_.empty(); });
      std::vector<std::pair<std::string, std::string>> found;
      for (const std::string& id : std::exchange(heard_, {})) {
        task_result r;
        r.id = id;
        r.status = state::success;
        r.result = "1";
        found.emplace_back(id, encode_result(r));
      }
      return found;
    }
    void wake() noexcept override {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
      changed_.notify_all();
    }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::string> heard_;
    bool is_away_ = true, is_over_ = false;
  };
  void store(std::span<const stored_result> /*results*/) override {}
  std::vector<std::optional<std::string>> fetch(std::span<const std::string> ids) override {
    return std::vector<std::optional<std::string>>(ids.size());
  }
  void forget(std::span<const std::string> /*ids*/) override {}
  std::unique_ptr<result_watch> watch() override { return std::make_unique<late_watch>(); }
  void begin_chord(const std::string& /*group*/, std::int64_t /*size*/) override {}
  std::optional<chord_parts> add_chord_part(const std::string& /*group*/, std::int64_t /*index*/,
                                            const std::string& /*id*/, const std::string& /*text*/) override {
    return {};
  }
  void end_chord(const std::string& /*group*/) override {}
  std::string name() const override { return "late"; }
};

TEST(ResultHub, WatchesAgainAfterItCouldNot) {
  result_hub hub(std::make_shared<late_store>());
  const std::vector cells{std::make_shared<result_cell>("one", ""), std::make_shared<result_cell>("two", "")};
  EXPECT_THROW(hub.watch(cells, true), broker_error);
  EXPECT_EQ(hub.watched(), 0U);
  hub.watch(cells, false);
  for (const auto& cell : cells) {
    ASSERT_TRUE(cell->wait_until(std::chrono::steady_clock::now() + 30s));
    EXPECT_EQ(cell->end()->value(), "1");
  }
  EXPECT_EQ(hub.watched(), 0U);
}

TEST(ResultsOfNoApp, AreClosed) {
  app({.broker = "memory://another"}).make_current();  // the first one of a process would be current, and stay
  future<int> waiting;
  {
    const app where({.broker = "memory://no_app"});
    waiting = result<int>("never", where).future();
  }
  EXPECT_THROW(waiting.get(), closed);
}

}  // namespace
}  // namespace tutti::cluster
