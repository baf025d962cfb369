#include <tutti/cluster/control/control_envelope.hpp>
#include <tutti/cluster/control/event_sender.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tutti/base/error.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <tests/support/eventually.hpp>
#include <thread>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;

// A broker that only broadcasts: notes what, refuses it, or holds it up until it is let go.
class broadcaster : public broker {
 public:
  std::atomic<bool> refuses{false};
  std::vector<std::pair<std::string, std::string>> sent;

  void broadcast(const std::string& channel, const std::string& text) override {
    std::unique_lock lock(mutex_);
    ++begun_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held_; });
    if (refuses) throw broker_error("it is away");
    sent.emplace_back(channel, text);
    changed_.notify_all();
  }
  void hold(bool on) {
    const std::lock_guard lock(mutex_);
    held_ = on;
    changed_.notify_all();
  }
  [[nodiscard]] bool has_begun(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 30s, [&] { return begun_ >= count; });
  }
  [[nodiscard]] bool has_sent(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 30s, [&] { return sent.size() >= count; });
  }

  void publish(std::span<const outgoing_message>) override {}
  std::unique_ptr<consumer> consume(const std::string&, std::vector<std::string>) override { return nullptr; }
  std::vector<queue_info> queues(std::span<const std::string>) override { return {}; }
  std::vector<std::string> peek(const std::string&, std::size_t) override { return {}; }
  std::uint64_t purge(const std::string&) override { return 0; }
  std::unique_ptr<listener> listen(const std::string&) override { return nullptr; }
  void answer(const std::string&, const std::string&, const std::string&) override {}
  std::unique_ptr<listener> answers(const std::string&) override { return nullptr; }
  std::string name() const override { return "broadcaster"; }
  bool is_shared() const noexcept override { return false; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int begun_ = 0;
  bool held_ = false;
};

std::string field(const std::string& event, std::string_view name) { return member_of(object_parts(event), name); }

TEST(EventSender, SendsTaskEventsInBatchesAndOnlyWhenEnabled) {
  const auto to = std::make_shared<broadcaster>();
  {
    event_sender sender(to, "tutti@h");
    EXPECT_FALSE(sender.enabled());
    sender.send("task-started", {{"uuid", "\"a\""}});
    to->hold(true);
    sender.send("worker-online", {{"freq", "2.0"}});
    ASSERT_TRUE(to->has_begun(1));
    sender.enable(true);
    for (int i = 0; i < 3; ++i) sender.send("task-started", {{"uuid", std::to_string(i)}});
    sender.send("worker-heartbeat", {});
    sender.send("task-succeeded", {});
    to->hold(false);
    ASSERT_TRUE(to->has_sent(4));
  }
  ASSERT_EQ(to->sent.size(), 4u);
  EXPECT_EQ(to->sent[0].first, "celeryev/worker.online");
  EXPECT_EQ(to->sent[1].first, "celeryev/task.multi");
  EXPECT_EQ(to->sent[2].first, "celeryev/worker.heartbeat");
  EXPECT_EQ(to->sent[3].first, "celeryev/task.multi");
  const auto events = array_parts(unwrap_control(to->sent[1].second).body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(field(events[2], "uuid"), "2");
  EXPECT_EQ(field(events[2], "type"), R"("task-started")");
  EXPECT_EQ(field(events[2], "hostname"), R"("tutti@h")");
  EXPECT_GT(std::stod(field(events[2], "timestamp")), 1.7e9);
  EXPECT_GT(std::stoull(field(events[2], "clock")), std::stoull(field(events[1], "clock")));
}

TEST(EventSender, GoesOnWhenTheBrokerComesBack) {
  const auto to = std::make_shared<broadcaster>();
  event_sender sender(to, "tutti@h");
  to->refuses = true;
  sender.send("worker-online", {});
  ASSERT_TRUE(to->has_begun(1));
  to->refuses = false;
  sender.send("worker-heartbeat", {});
  EXPECT_TRUE(to->has_sent(1));
}

TEST(EventSender, NeverBlocksAndKeepsABoundedNumber) {
  const auto to = std::make_shared<broadcaster>();
  {
    event_sender sender(to, "tutti@h");
    sender.enable(true);
    to->hold(true);
    sender.send("worker-online", {});
    ASSERT_TRUE(to->has_begun(1));
    for (int i = 0; i < 30'000; ++i) sender.send("task-started", {});  // nobody takes one
    to->hold(false);
    ASSERT_TRUE(to->has_sent(1 + 20'000 / 500));
  }
  std::size_t events = 0;
  for (std::size_t i = 1; i < to->sent.size(); ++i)
    events += array_parts(unwrap_control(to->sent[i].second).body).size();
  EXPECT_EQ(events, 20'000u);
}

TEST(EventSender, SendsWhatIsLeftWhenItEnds) {
  const auto to = std::make_shared<broadcaster>();
  {
    event_sender sender(to, "tutti@h");
    to->hold(true);
    sender.send("worker-online", {});
    ASSERT_TRUE(to->has_begun(1));
    sender.send("worker-offline", {});
    sender.end();
    sender.send("worker-heartbeat", {});
    to->hold(false);
    ASSERT_TRUE(to->has_sent(2));
  }
  EXPECT_EQ(to->sent.size(), 2u);
}

TEST(EventSender, EndsWithoutABroker) {
  const auto to = std::make_shared<broadcaster>();
  to->refuses = true;
  std::optional<event_sender> sender(std::in_place, to, "tutti@h");
  for (int i = 0; i < 100; ++i) sender->send("worker-heartbeat", {});
  std::atomic<bool> is_over{false};
  std::thread end([&] {
    sender.reset();
    is_over = true;
  });
  EXPECT_TRUE(tutti_test::eventually([&] { return is_over.load(); }));
  end.join();
  EXPECT_TRUE(to->sent.empty());
}

}  // namespace
}  // namespace tutti::cluster
