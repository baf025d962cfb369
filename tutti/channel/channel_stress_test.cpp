// All operations of channels at random, by threads and coroutines at once: nothing is lost, nothing comes twice, and
// each sender's elements stay in order.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <tests/support/choices.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/channel/channels.hpp>
#include <tutti/task/task.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::channel;
using tutti::task;
using tutti_test::choices;
using tutti_test::seed;
using tutti_test::watchdog;

constexpr unsigned senders = 4, receivers = 4;
constexpr unsigned each = tutti_test::sanitized ? 400 : 4000;

struct element {
  unsigned sender = 0, number = 0;
  std::unique_ptr<int> owned = std::make_unique<int>(1);  // lost or doubled: seen by the sanitizers
};

// Who has seen what.
class ledger {
 public:
  explicit ledger(bool in_order) : in_order_(in_order), seen_(senders * each) {}
  struct view {
    std::array<std::int64_t, senders> last{-1, -1, -1, -1};
  };
  void saw(view& mine, const element& e) {
    seen_[e.sender * each + e.number].fetch_add(1, std::memory_order_relaxed);
    if (in_order_ && mine.last[e.sender] >= e.number) ++disorder_;
    mine.last[e.sender] = e.number;
    if (e.owned == nullptr) ++broken_;
  }
  void check() const {
    EXPECT_EQ(disorder_, 0);
    EXPECT_EQ(broken_, 0);
    EXPECT_TRUE(std::ranges::all_of(seen_, [](const auto& n) { return n == 1; }));
  }

 private:
  const bool in_order_;
  std::vector<std::atomic<int>> seen_;
  std::atomic<int> disorder_{0}, broken_{0};
};

template <class To>
void send_by_thread(To& to, unsigned who, std::uint64_t salt) {
  choices random(salt);
  for (unsigned i = 0; i < each; ++i) {
    element e{who, i};
    for (bool sent = false; !sent;) {
      switch (random.below(6)) {
        case 0: sent = to.try_send(std::move(e)); break;
        case 1: sent = to.send_for(random.short_time(), std::move(e)); break;
        case 2: {
          std::stop_source stop;
          to.send(stop.get_token(), std::move(e));
          sent = true;
          break;
        }
        case 3: tutti::select(tutti::on_send(to, std::move(e), [&] { sent = true; })); break;
        default: to.send(std::move(e)); sent = true;
      }
    }
  }
}

template <class To>
task<> send_by_task(To& to, unsigned who, std::uint64_t salt) {
  choices random(salt);
  for (unsigned i = 0; i < each; ++i) {
    element e{who, i};
    for (bool sent = false; !sent;) {
      switch (random.below(5)) {
        case 0: sent = to.try_send(std::move(e)); break;
        case 1: sent = co_await to.send_for_async(random.short_time(), std::move(e)); break;
        case 2: {
          auto one = tutti::on_send(to, std::move(e), [&] { sent = true; });
          co_await tutti::select_async(std::move(one));
          break;
        }
        default: co_await to.send_async(std::move(e)); sent = true;
      }
      if (random.one_in(50)) co_await tutti::yield_now();
    }
  }
}

template <class From>
void receive_by_thread(From& from, ledger& all, std::uint64_t salt) {
  choices random(salt);
  ledger::view mine;
  try {
    for (;;) {
      std::optional<element> e;
      switch (random.below(6)) {
        case 0: e = from.try_receive(); break;
        case 1: e = from.receive_for(random.short_time()); break;
        case 2:
          tutti::select(tutti::on(from, [&](element x) { e.emplace(std::move(x)); }),
                        tutti::after(random.short_time(), [] {}));
          break;
        case 3: {
          std::stop_source stop;
          if (random.one_in(2)) stop.request_stop();
          try {
            e = from.receive(stop.get_token());
          } catch (const tutti::cancelled&) {
          }
          break;
        }
        default: e.emplace(from.receive());
      }
      if (e) all.saw(mine, *e);
      from.task_done_if(e.has_value());
    }
  } catch (const tutti::closed&) {
  }
}

template <class From>
task<> receive_by_task(From& from, ledger& all, std::uint64_t salt) {
  choices random(salt);
  ledger::view mine;
  bool open = true;
  while (open) {
    std::optional<element> e;
    switch (random.below(5)) {
      case 0: {
        const auto limit = random.short_time();
        try {
          e = co_await from.receive_for_async(limit);
        } catch (const tutti::closed&) {
          open = false;
        }
        break;
      }
      case 1:
        try {
          co_await tutti::select_priority_async(tutti::on(from, [&](std::optional<element> x) {
            if (x) {
              e.emplace(std::move(*x));
            } else {
              open = false;
            }
          }));
        } catch (const tutti::closed&) {
          open = false;
        }
        break;
      default: e = co_await from.next_async(); open = e.has_value();
    }
    if (e) all.saw(mine, *e);
    from.task_done_if(e.has_value());
    if (random.one_in(50)) co_await tutti::yield_now();
  }
}

struct counting_channel : channel<element> {
  using channel<element>::channel;
  void task_done_if(bool received) {
    if (received) task_done();
  }
};
struct counting_reader : tutti::reader<element> {
  explicit counting_reader(tutti::reader<element>&& r) : tutti::reader<element>(std::move(r)) {}
  void task_done_if(bool received) {
    if (received) task_done();
  }
};

template <class SendThread, class SendTask, class ReceiveThread, class ReceiveTask>
void all_at_once(SendThread send_thread, SendTask send_task, ReceiveThread receive_thread, ReceiveTask receive_task,
                 const std::function<void()>& close) {
  tutti::thread_pool pool(2);
  std::vector<std::jthread> receiving, sending;
  std::vector<tutti::future<void>> receiving_tasks, sending_tasks;
  for (unsigned i = 0; i < receivers; ++i) {
    if (i % 2 == 0) {
      receiving.emplace_back([&, i] { receive_thread(i); });
    } else {
      receiving_tasks.push_back(pool.submit(receive_task(i)));
    }
  }
  for (unsigned i = 0; i < senders; ++i) {
    if (i % 2 == 0) {
      sending.emplace_back([&, i] { send_thread(i); });
    } else {
      sending_tasks.push_back(pool.submit(send_task(i)));
    }
  }
  sending.clear();
  for (auto& one : sending_tasks) one.get();
  close();
  receiving.clear();
  for (auto& one : receiving_tasks) one.get();
}

void stress_channel(counting_channel& c, bool in_order, std::uint64_t salt) {
  ledger all(in_order);
  all_at_once([&](unsigned i) { send_by_thread(c, i, salt + i); },
              [&](unsigned i) { return send_by_task(c, i, salt + i); },
              [&](unsigned i) { receive_by_thread(c, all, salt + 10 + i); },
              [&](unsigned i) { return receive_by_task(c, all, salt + 10 + i); },
              [&] {
                c.join();
                c.close();
              });
  all.check();
  EXPECT_TRUE(c.try_join());
}

TEST(ChannelStress, AllOperationsAllShapes) {
  const watchdog dog(120s);
  SCOPED_TRACE(seed());
  std::uint64_t salt = 1000;
  for (const std::ptrdiff_t capacity : {0, 1, 2, 64}) {
    SCOPED_TRACE(capacity);
    counting_channel c(capacity);
    stress_channel(c, true, salt += 100);
  }
  counting_channel stack(3, tutti::lifo);
  stress_channel(stack, false, salt += 100);
  counting_channel heap(3, tutti::by_priority([](const element& e) { return e.number % 3; }));
  stress_channel(heap, false, salt += 100);
}

TEST(ChannelStress, EndsCloseByThemselves) {
  const watchdog dog(120s);
  SCOPED_TRACE(seed());
  std::uint64_t salt = 5000;
  for (const std::ptrdiff_t capacity : {0, 1, 2, 64}) {
    SCOPED_TRACE(capacity);
    ledger all(true);
    auto [w, r] = tutti::make_channel<element>(capacity);
    std::vector<tutti::writer<element>> out;
    std::vector<counting_reader> in;
    for (unsigned i = 1; i < senders; ++i) out.push_back(w.share());
    for (unsigned i = 1; i < receivers; ++i) in.emplace_back(r.share());
    out.push_back(std::move(w));
    in.emplace_back(std::move(r));
    salt += 100;
    all_at_once(
        [&](unsigned i) {
          auto mine = std::move(out[i]);
          send_by_thread(mine, i, salt + i);
        },
        [&](unsigned i) { return send_by_task(out[i], i, salt + i); },
        [&](unsigned i) { receive_by_thread(in[i], all, salt + 10 + i); },
        [&](unsigned i) { return receive_by_task(in[i], all, salt + 10 + i); }, [&] { out.clear(); });
    all.check();
  }
}

// One writer, one reader, no locks; the capacity decides whether full or empty is met more often.
TEST(ChannelStress, OneToOne) {
  const watchdog dog(120s);
  SCOPED_TRACE(seed());
  for (const std::ptrdiff_t capacity : {1, 2, 8, 1024}) {
    constexpr int n = tutti_test::sanitized ? 20'000 : 300'000;
    auto ends = tutti::make_channel<int>(capacity);
    std::jthread sender([out = std::move(ends.first)]() mutable {
      for (int i = 0; i < n; ++i) out.send(i);
    });
    int expected = 0, wrong = 0;
    for (const int x : ends.second) wrong += x == expected++ ? 0 : 1;
    EXPECT_EQ(expected, n);
    EXPECT_EQ(wrong, 0);
  }
}

// What was accepted is received, and what was refused is not, also when a close comes in between.
TEST(ChannelStress, ClosingWhileSending) {
  const watchdog dog(120s);
  SCOPED_TRACE(seed());
  choices random(9000);
  for (int round = 0; round < (tutti_test::sanitized ? 200 : 1000); ++round) {
    auto ends = tutti::make_channel<int>(static_cast<std::ptrdiff_t>(random.below(4)));
    auto other = ends.first.share();  // an end of its own belongs to one thread, which alone can close it
    channel<int> plain(static_cast<std::ptrdiff_t>(random.below(4)));
    const bool use_ends = random.one_in(2);
    const unsigned pause = random.below(50);
    std::atomic<int> accepted{0};
    int received = 0;
    const auto send = [&accepted](auto& to) {
      try {
        for (;;) {
          to.send(1);
          ++accepted;
        }
      } catch (const tutti::closed&) {
      }
    };
    {
      std::jthread a([&] { use_ends ? send(ends.first) : send(plain); });
      std::jthread b([&] { use_ends ? send(other) : send(plain); });
      std::jthread closer([&] {
        for (unsigned i = 0; i < pause; ++i) std::this_thread::yield();
        use_ends ? tutti::detail::access::core(ends.first).close() : plain.close();
      });
      if (use_ends) {
        for (const int x : ends.second) received += x;
      } else {
        for (const int x : plain) received += x;
      }
    }
    ASSERT_EQ(received, accepted) << "round " << round;
  }
}

// One writer that counts without fences, while the other side goes away: it must notice, and nothing may leak.
TEST(ChannelStress, CutOffWhileSending) {
  const watchdog dog(120s);
  SCOPED_TRACE(seed());
  choices random(9500);
  const auto counted = std::make_shared<int>(0);
  for (int round = 0; round < (tutti_test::sanitized ? 200 : 2000); ++round) {
    auto ends = tutti::make_channel<std::shared_ptr<int>>(static_cast<std::ptrdiff_t>(random.below(4)));
    const bool by_poison = random.one_in(2);
    const unsigned taken = random.below(20);
    std::atomic<int> accepted{0};
    bool poisoned = false;
    {
      std::jthread sender([&] {
        try {
          for (;;) {
            ends.first.send(counted);
            ++accepted;
          }
        } catch (const tutti::poisoned&) {
          poisoned = true;
        } catch (const tutti::closed&) {
        }
      });
      for (unsigned i = 0; i < taken; ++i) ASSERT_EQ(ends.second.receive(), counted);
      if (by_poison) ends.second.poison();
      ends.second.close();
    }
    ASSERT_EQ(poisoned, by_poison) << "round " << round;
    ASSERT_GE(accepted, static_cast<int>(taken));
    ASSERT_EQ(counted.use_count(), 1) << "round " << round;
  }
}

// A coroutine that waits makes a writer count with fences while that is sending: neither may miss the other.
TEST(ChannelStress, FencesChangeWhileSending) {
  const watchdog dog(120s);
  constexpr int n = 50;
  for (int round = 0; round < (tutti_test::sanitized ? 200 : 3000); ++round) {
    auto ends = tutti::make_channel<int>(round % 3 + 1);
    std::jthread sender([out = std::move(ends.first)]() mutable {
      for (int i = 0; i < n; ++i) out.send(i);
    });
    int expected = 0;
    auto receive_all = [&]() -> tutti::task<> {
      while (const auto x = co_await ends.second.next_async()) {
        EXPECT_EQ(*x, expected);
        ++expected;
      }
    };
    tutti::sync_wait(receive_all());
    ASSERT_EQ(expected, n);
  }
}

}  // namespace
