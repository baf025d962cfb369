// Ends: who closes, what moves, and what observers of waits are told.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/channel/channels.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::make_channel;
using tutti::reader;
using tutti::sync_wait;
using tutti::task;
using tutti::writer;
using tutti_test::until;
using tutti_test::waiting_for;

class Ends : public tutti_test::virtual_time {};

TEST_F(Ends, TheLastWriterCloses) {
  auto [out, in] = make_channel<int>(4, "numbers");
  {
    auto other = out.share();
    out.send(1);
    other.send(2);
  }
  EXPECT_FALSE(in.is_closed());
  EXPECT_EQ(in.name(), "numbers");
  out.close();
  out.close();
  EXPECT_FALSE(out);
  EXPECT_TRUE(in.is_closed());
  EXPECT_THROW(out.send(3), std::logic_error);
  int sum = 0;
  for (const int x : in) sum += x;
  EXPECT_EQ(sum, 3);
}

TEST_F(Ends, WithoutReadersSendersSeeClosed) {
  auto [out, in] = make_channel<std::shared_ptr<int>>(4, "numbers");
  auto counted = std::make_shared<int>(1);
  out.send(counted);
  {
    const auto gone = std::move(in);
  }
  EXPECT_EQ(counted.use_count(), 1) << "what nobody can receive is destroyed";
  try {
    out.send(counted);
    ADD_FAILURE();
  } catch (const tutti::closed& e) {
    EXPECT_STREQ(e.what(), "channel \"numbers\": the last reader is gone, so nothing more can be sent");
  }
  EXPECT_THROW(out.join(), tutti::closed);
}

TEST_F(Ends, ASenderWhoWaitsSeesItToo) {
  for (const std::ptrdiff_t capacity : {0, 1}) {
    auto ends = make_channel<int>(capacity);
    if (capacity == 1) ends.first.send(0);
    bool closed = false;
    std::jthread sender([&] {
      try {
        ends.first.send(1);
      } catch (const tutti::closed&) {
        closed = true;
      }
    });
    until([] { return waiting_for("channel::send") == 1; });
    ends.second.close();
    sender.join();
    EXPECT_TRUE(closed);
  }
}

TEST_F(Ends, OneThreadEach) {
  auto ends = make_channel<int>(2);
  std::jthread sender([out = std::move(ends.first)]() mutable {
    for (int i = 0; i < 1000; ++i) out.send(i);
  });
  int expected = 0;
  for (const int x : ends.second) EXPECT_EQ(x, expected++);
  EXPECT_EQ(expected, 1000);
}

TEST_F(Ends, AssigningGivesTheOldOneUp) {
  auto a = make_channel<int>(1), b = make_channel<int>(1);
  a.first = std::move(b.first);
  EXPECT_TRUE(a.second.is_closed());
  a.first.send(1);
  EXPECT_EQ(b.second.receive(), 1);
  EXPECT_THROW(b.first.send(1), std::logic_error);  // NOLINT(bugprone-use-after-move)
}

TEST_F(Ends, PoisonByEitherSide) {
  auto counted = std::make_shared<int>(0);
  for (const bool by_writer : {true, false}) {
    auto [out, in] = make_channel<std::shared_ptr<int>>(3);
    out.send(counted);
    by_writer ? out.poison() : in.poison();
    EXPECT_THROW(out.send(counted), tutti::poisoned);
    EXPECT_THROW(in.receive(), tutti::poisoned);
    EXPECT_EQ(counted.use_count(), 1);
  }
}

TEST_F(Ends, AWriterThatLiesInItsOwnChannel) {
  struct request {
    std::shared_ptr<int> alive;
    std::optional<writer<request>> answer_to;
  };
  auto counted = std::make_shared<int>(0);
  {
    auto [out, in] = make_channel<request>(2);
    out.send({counted, out.share()});
    EXPECT_EQ(counted.use_count(), 2);
  }
  EXPECT_EQ(counted.use_count(), 1);
}

TEST_F(Ends, CoroutinesSharingThem) {
  auto ends = make_channel<int>(2);
  auto produce = [](writer<int> out, int first) -> task<> {
    for (int i = first; i < first + 50; ++i) co_await out.send_async(i);
  };
  auto consume = [](reader<int> in) -> task<int> {
    int sum = 0;
    while (const auto x = co_await in.next_async()) sum += *x;
    co_return sum;
  };
  auto body = [&]() -> task<int> {
    auto shared_out = ends.first.share();
    auto shared_in = ends.second.share();
    auto a = tutti::spawn(produce(std::move(ends.first), 0));
    auto b = tutti::spawn(produce(std::move(shared_out), 50));
    auto c = tutti::spawn(consume(std::move(ends.second)));
    auto d = tutti::spawn(consume(std::move(shared_in)));
    co_await std::move(a);
    co_await std::move(b);
    const int left = co_await std::move(c);
    co_return left + co_await std::move(d);
  };
  EXPECT_EQ(sync_wait(body()), 4950);
}

TEST_F(Ends, SelectTakesThem) {
  auto [out, in] = make_channel<int>(1);
  EXPECT_EQ(tutti::select(tutti::on(in, [](int) {}), tutti::on_send(out, 1, [] {})), 1U);
  EXPECT_EQ(tutti::select(tutti::on(in, [](int) {}), tutti::on_send(out, 1, [] {})), 0U);
}

// ---------------------------------------------------------------- what observers are told

struct recorder final : tutti::wait_observer {
  void add(std::string line) {
    const std::lock_guard lock(mutex);
    lines.push_back(std::move(line));
  }
  std::vector<std::string> take() {
    const std::lock_guard lock(mutex);
    return std::exchange(lines, {});
  }
  std::string named(const void* resource) {
    if (resource == filled) return "filled";
    return "drained";
  }
  void begin_wait(const wait& w) override {
    for (const auto& t : w.targets) {
      if (t.rule == tutti::wait_rule::one_acts) add("waits " + named(t.resource) + " " + std::string(t.name));
      if (t.rule == tutti::wait_rule::unknown) add("waits for somebody");
    }
  }
  void end_wait(const wait&) noexcept override { add("waited"); }
  void born(const tutti::wait_target& r, std::size_t total) noexcept override {
    if (filled == nullptr) filled = r.resource;
    add("born " + named(r.resource) + " " + std::to_string(total));
  }
  void gone(const void* r) noexcept override { add("gone " + named(r)); }
  void holds(const tutti::wait_party& who, const tutti::wait_target& r, const tutti::place&, bool) noexcept override {
    add((who.id == nullptr ? "unknown holds " : "I hold ") + named(r.resource));
  }
  void releases(const void* who, const void* r) noexcept override {
    add((who == nullptr ? "unknown releases " : "I release ") + named(r));
  }
  void ended(const void*) noexcept override {}
  std::mutex mutex;
  std::vector<std::string> lines;
  const void* filled = nullptr;
};

using lines = std::vector<std::string>;

TEST(EndsObserved, ObserversLearnWhoCanEndAWait) {
  const tutti_test::watchdog dog;
  recorder seen;
  tutti::wait_observer* const before = tutti::wait_graph::observe(&seen);
  {
    auto [out, in] = make_channel<int>(1, "c");
    EXPECT_EQ(seen.take(), (lines{"born filled 1", "born drained 1", "unknown holds filled", "unknown holds drained"}));
    out.send(1);
    EXPECT_EQ(seen.take(), (lines{"unknown releases filled", "I hold filled"}));
    in.receive();
    EXPECT_EQ(seen.take(), (lines{"unknown releases drained", "I hold drained"}));
    auto moved = std::move(out);
    EXPECT_EQ(seen.take(), (lines{"I release filled", "unknown holds filled"}));
    auto second = moved.share();
    EXPECT_EQ(seen.take(), (lines{"born filled 2", "unknown holds filled"}));
    second.close();
    // Told how many are left: else they could not be known to be all.
    EXPECT_EQ(seen.take(), (lines{"unknown releases filled", "born filled 1"}));
    const auto waited_for = [&] {
      lines told = seen.take();
      std::erase_if(told, [](const std::string& line) { return !line.starts_with("waits"); });
      return told;
    };
    // A writer ends it by sending, another reader by poison.
    std::jthread receives([&] { in.receive(); });
    until([] { return waiting_for("channel::receive") == 1; });
    moved.send(1);
    receives.join();
    EXPECT_EQ(waited_for(), (lines{"waits filled c", "waits drained c"}));
    moved.send(1);
    std::jthread sends([&] { moved.send(2); });
    until([] { return waiting_for("channel::send") == 1; });
    in.receive();
    sends.join();
    EXPECT_EQ(waited_for(), (lines{"waits drained c", "waits filled c"}));
    moved.close();
    const auto end = seen.take();
    EXPECT_EQ(end, (lines{"I release filled", "gone filled"}));
  }
  tutti::channel<int> plain(1);
  std::jthread receives([&] { plain.receive(); });
  until([] { return waiting_for("channel::receive") == 1; });
  plain.send(1);
  receives.join();
  const auto last = seen.take();
  EXPECT_NE(std::ranges::find(last, "waits for somebody"), last.end());
  tutti::wait_graph::observe(before);
}

}  // namespace
