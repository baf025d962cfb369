// tutti's channel between coroutines: of one thread, in sync_wait; of two, in a pool.
#include <tutti/channel/channels.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/task/task.hpp>

#include <deque>
#include <utility>
#include <vector>

#include "loops.hpp"

namespace bench::channel {

namespace {

using tutti::task;
using channel = tutti::channel<std::uint64_t>;

template <class To>
task<> send_range(To& to, std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t i = begin; i < end; ++i) co_await to.send_async(i);
}

template <class From>
task<> receive_some(From& from, std::size_t count, std::atomic<std::uint64_t>& total) {
  std::uint64_t mine = 0;
  for (std::size_t i = 0; i < count; ++i) mine += co_await from.receive_async();
  total += mine;
}

task<> send_and_receive(channel& numbers, const traffic& t, std::size_t count, std::atomic<std::uint64_t>& total) {
  std::vector<task<>> all;
  const std::size_t sent_each = count / static_cast<std::size_t>(t.writers);
  for (std::size_t w = 0; w < static_cast<std::size_t>(t.writers); ++w)
    all.push_back(send_range(numbers, w * sent_each, (w + 1) * sent_each));
  for (int r = 0; r < t.readers; ++r)
    all.push_back(receive_some(numbers, count / static_cast<std::size_t>(t.readers), total));
  co_await tutti::when_all(std::move(all));
}

double run_on_two_threads(const traffic& t, std::size_t count) {
  tutti::thread_pool pool(2);
  channel numbers(static_cast<std::ptrdiff_t>(t.capacity));
  std::atomic<std::uint64_t> total = 0;
  const double ns = time_ns([&] { pool.submit(send_and_receive(numbers, t, count, total)).get(); });
  check(total == sum_below(count), "the sum is wrong");
  return static_cast<double>(count) * 1e3 / ns;
}

// --- on one thread ----------------------------------------------------------------------------------------------

task<> first_player(channel& there, channel& back, std::size_t count, std::uint64_t& total) {
  for (std::uint64_t i = 0; i < count; ++i) {
    co_await there.send_async(i);
    total += co_await back.receive_async();
  }
}

// What arrives goes on with `more` added to it, `count` times, after `first` if that is wanted.
task<> pass_on(channel& from, channel& to, std::size_t count, std::uint64_t more, bool first) {
  if (first) co_await to.send_async(0);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t value = co_await from.receive_async();
    co_await to.send_async(value + more);
  }
}

task<> pass_on_twice(channel& from, channel& one, channel& other, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t value = co_await from.receive_async();
    co_await one.send_async(value);
    if (i + 1 < count) co_await other.send_async(value);
  }
}

task<> send_in_turn(std::deque<channel>& all, std::size_t count) {
  for (std::uint64_t i = 0; i < count; ++i) co_await all[i % all.size()].send_async(i);
}

template <std::size_t... I>
task<> select_of(std::deque<channel>& all, std::size_t count, std::uint64_t& total, std::index_sequence<I...>) {
  auto add = [&total](std::uint64_t value) { total += value; };
  for (std::size_t i = 0; i < count; ++i) co_await tutti::select_async(tutti::on(all[I], add)...);
}

task<> select_of(std::deque<channel>& all, std::size_t count, std::uint64_t& total) {
  switch (all.size()) {
    case 2: return select_of(all, count, total, std::make_index_sequence<2>());
    case 8: return select_of(all, count, total, std::make_index_sequence<8>());
    case 64: return select_of(all, count, total, std::make_index_sequence<64>());
    default: throw std::invalid_argument("no select of so many channels is compiled in");
  }
}

class tutti_on_one_thread final : public coroutines {
 public:
  std::optional<double> send(std::size_t capacity, std::size_t count) override {
    auto [out, in] = tutti::make_channel<std::uint64_t>(static_cast<std::ptrdiff_t>(capacity));
    std::atomic<std::uint64_t> total = 0;
    const double ns = run(total, sum_below(count), send_range(out, 0, count), receive_some(in, count, total));
    return static_cast<double>(count) * 1e3 / ns;
  }

  std::optional<double> ping_pong(std::size_t count) override {
    channel there(1), back(1);
    std::uint64_t total = 0;
    return run(total, sum_below(count) + count, first_player(there, back, count, total),
               pass_on(there, back, count, 1, false)) /
           static_cast<double>(count);
  }

  std::optional<double> commstime(std::size_t count) override {
    channel to_delta(0), to_successor(0), to_prefix(0), to_consumer(0);
    std::atomic<std::uint64_t> total = 0;
    return run(total, sum_below(count), pass_on(to_prefix, to_delta, count - 1, 0, true),
               pass_on_twice(to_delta, to_consumer, to_successor, count),
               pass_on(to_successor, to_prefix, count - 1, 1, false), receive_some(to_consumer, count, total)) /
           static_cast<double>(4 * count);
  }

  std::optional<double> select(std::size_t channels, std::size_t count) override {
    std::deque<channel> all;
    for (std::size_t i = 0; i < channels; ++i) all.emplace_back(1);
    std::uint64_t total = 0;
    return run(total, sum_below(count), select_of(all, count, total), send_in_turn(all, count)) /
           static_cast<double>(count);
  }

 private:
  // Nanoseconds until all have ended. The total is looked at then.
  template <class Total, class... Tasks>
  double run(const Total& total, std::uint64_t expected, Tasks... tasks) {
    const double ns = time_ns([&] { tutti::sync_wait(tutti::when_all(std::move(tasks)...)); });
    check(total == expected, "the sum is wrong");
    return ns;
  }
};

task<> receive_one(channel& from, std::size_t& begun, std::size_t& had) {
  ++begun;
  co_await from.receive_async();
  ++had;
}

task<std::size_t> hold_waiters(std::size_t count, const std::function<void()>& waiting) {
  channel numbers(static_cast<std::ptrdiff_t>(count));
  std::size_t begun = 0, had = 0, early = 0;
  co_await tutti::task_group::run([&](tutti::task_group& group) -> task<> {
    for (std::size_t i = 0; i < count; ++i) group.spawn(receive_one(numbers, begun, had));
    while (begun < count) co_await tutti::yield_now();
    waiting();
    early = had;
    for (std::uint64_t i = 0; i < count; ++i) co_await numbers.send_async(i);
  });
  co_return had - early;
}

}  // namespace

streams of_tutti_coroutines() {
  return {{"tutti", [](const traffic& t) { return t.by == sides::coroutines; }, run_on_two_threads}};
}

coroutines& one_thread_of_tutti() {
  static tutti_on_one_thread all;
  return all;
}

std::size_t tutti_waiters(std::size_t count, const std::function<void()>& waiting) {
  return tutti::sync_wait(hold_waiters(count, waiting));
}

}  // namespace bench::channel
