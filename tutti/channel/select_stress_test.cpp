// Selects on both sides, in circles, by threads and coroutines: what was sent is what was received.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <tests/support/choices.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/channel/channels.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::channel;
using tutti::task;
using tutti_test::choices;
using tutti_test::seed;
using tutti_test::watchdog;

// Each agent, again and again, sends to or receives from any of three channels, whatever comes first: circles of
// selects that meet one another, some of them hand to hand.
TEST(SelectStress, SelectsMeetSelects) {
  const watchdog dog(120s);
  SCOPED_TRACE(seed());
  constexpr int agents = 6, channels = 3;
  constexpr int rounds = tutti_test::sanitized ? 300 : 3000;
  for (const auto capacities : {std::array{0, 0, 0}, std::array{0, 1, 2}}) {
    channel<int> a(capacities[0]), b(capacities[1]), c(capacities[2]);
    channel<int>* const all[channels] = {&a, &b, &c};
    std::array<std::atomic<std::int64_t>, channels> sent{}, got{};
    std::atomic<int> left{agents};
    const auto act = [&](auto select, int i, choices& random) {
      const unsigned in = random.below(channels), out = random.below(channels), out2 = random.below(channels);
      const int value = i + 1;
      return select(tutti::on(*all[in], [&, in](int x) { got[in] += x; }),
                    tutti::on_send(*all[out], value, [&, out, value] { sent[out] += value; }),
                    tutti::on_send(*all[out2], value, [&, out2, value] { sent[out2] += value; }).when(i % 3 != 0),
                    tutti::after(random.one_in(3) ? 20us : 2ms, [] {}));
    };
    {
      tutti::thread_pool pool(2);
      std::vector<std::jthread> threads;
      std::vector<tutti::future<void>> tasks;
      const auto in_task = [&](int who) -> task<> {
        choices random(20'000 + static_cast<std::uint64_t>(who));
        for (int i = 0; i < rounds; ++i) {
          auto wait = [&](auto... cases) -> task<> { co_await tutti::select_async(std::move(cases)...); };
          co_await act(wait, i, random);
        }
        --left;
      };
      for (int who = 0; who < agents; ++who) {
        if (who % 2 == 0) {
          threads.emplace_back([&, who] {
            choices random(20'000 + static_cast<std::uint64_t>(who));
            for (int i = 0; i < rounds; ++i) {
              act([](auto... cases) { return tutti::select_priority(std::move(cases)...); }, i, random);
            }
            --left;
          });
        } else {
          tasks.push_back(pool.submit(in_task(who)));
        }
      }
      for (auto& one : tasks) one.get();
    }
    for (std::size_t i = 0; i < channels; ++i) {
      while (const auto x = all[i]->try_receive()) got[i] += *x;
      EXPECT_EQ(sent[i], got[i]) << "channel " << i;
    }
  }
}

// Elements for a select that takes another case go to somebody else: hints are handed on.
TEST(SelectStress, UnusedHintsAreHandedOn) {
  const watchdog dog(120s);
  SCOPED_TRACE(seed());
  constexpr int n = tutti_test::sanitized ? 2'000 : 20'000;
  channel<int> a(2), b(2);
  std::atomic<int> from_a{0}, from_b{0};
  std::jthread plain([&] {
    for ([[maybe_unused]] const int x : b) ++from_b;
  });
  std::jthread choosy([&] {
    try {
      for (;;) tutti::select_priority(tutti::on(a, [&](int) { ++from_a; }), tutti::on(b, [&](int) { ++from_b; }));
    } catch (const tutti::closed&) {
    }
  });
  std::jthread to_a([&] {
    for (int i = 0; i < n; ++i) a.send(i);
    a.close();
  });
  for (int i = 0; i < n; ++i) b.send(i);  // blocks for ever if one lies there with nobody awake
  b.close();
  to_a.join();
  choosy.join();
  plain.join();
  EXPECT_EQ(from_a, n);
  EXPECT_EQ(from_b, n);
}

}  // namespace
