// Boost.Asio's experimental channels, between coroutines: concurrent_channel where two threads run them, channel, which
// has no locks, where one does. Everything is first tried without waiting, which saves a round through the context; of
// two channels a parallel_group takes the first that has something.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <thread>

#include "loops.hpp"

namespace bench::channel {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;

using executor = asio::io_context::executor_type;
using coroutine = asio::awaitable<void, executor>;
using channel = asio::experimental::channel<executor, void(error_code, std::uint64_t)>;
using concurrent_channel = asio::experimental::concurrent_channel<executor, void(error_code, std::uint64_t)>;

void rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

bool try_receive(auto& from, std::uint64_t& value) {
  return from.try_receive([&](error_code, std::uint64_t received) { value = received; });
}

template <class Channel>
coroutine send_range(Channel& to, std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t i = begin; i < end; ++i) {
    if (!to.try_send(error_code(), i)) co_await to.async_send(error_code(), i, asio::deferred);
  }
}

template <class Channel>
coroutine receive_some(Channel& from, std::size_t count, std::atomic<std::uint64_t>& total) {
  std::uint64_t mine = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t value;
    if (!try_receive(from, value)) value = co_await from.async_receive(asio::deferred);
    mine += value;
  }
  total += mine;
}

double run_on_two_threads(const traffic& t, std::size_t count) {
  asio::io_context context(2);
  concurrent_channel numbers(context, t.capacity);
  std::atomic<std::uint64_t> total = 0;
  const std::size_t sent_each = count / static_cast<std::size_t>(t.writers);
  for (std::size_t w = 0; w < static_cast<std::size_t>(t.writers); ++w)
    asio::co_spawn(context, send_range(numbers, w * sent_each, (w + 1) * sent_each), rethrow);
  for (int r = 0; r < t.readers; ++r)
    asio::co_spawn(context, receive_some(numbers, count / static_cast<std::size_t>(t.readers), total), rethrow);
  const double ns = time_ns([&] {
    std::jthread other([&] { context.run(); });
    context.run();
  });
  check(total == sum_below(count), "the sum is wrong");
  return static_cast<double>(count) * 1e3 / ns;
}

// --- on one thread ----------------------------------------------------------------------------------------------

coroutine first_player(channel& there, channel& back, std::size_t count, std::uint64_t& total) {
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!there.try_send(error_code(), i)) co_await there.async_send(error_code(), i, asio::deferred);
    std::uint64_t value;
    if (!try_receive(back, value)) value = co_await back.async_receive(asio::deferred);
    total += value;
  }
}

// What arrives goes on with `more` added to it, `count` times, after `first` if that is wanted.
coroutine pass_on(channel& from, channel& to, std::size_t count, std::uint64_t more, bool first) {
  if (first && !to.try_send(error_code(), 0)) co_await to.async_send(error_code(), 0, asio::deferred);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t value;
    if (!try_receive(from, value)) value = co_await from.async_receive(asio::deferred);
    if (!to.try_send(error_code(), value + more)) co_await to.async_send(error_code(), value + more, asio::deferred);
  }
}

coroutine pass_on_twice(channel& from, channel& one, channel& other, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t value;
    if (!try_receive(from, value)) value = co_await from.async_receive(asio::deferred);
    if (!one.try_send(error_code(), value)) co_await one.async_send(error_code(), value, asio::deferred);
    if (i + 1 == count) break;
    if (!other.try_send(error_code(), value)) co_await other.async_send(error_code(), value, asio::deferred);
  }
}

coroutine send_alternately(channel& one, channel& other, std::size_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    channel& to = i % 2 == 0 ? one : other;
    if (!to.try_send(error_code(), i)) co_await to.async_send(error_code(), i, asio::deferred);
  }
}

// While the losing receive is being cancelled it may get something too.
coroutine select_of_two(channel& one, channel& other, std::size_t count, std::uint64_t& total) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t value;
    if (try_receive(one, value) || try_receive(other, value)) {
      total += value;
      continue;
    }
    auto [order, failed, of_one, other_failed, of_other] =
        co_await asio::experimental::make_parallel_group(one.async_receive(asio::deferred),
                                                         other.async_receive(asio::deferred))
            .async_wait(asio::experimental::wait_for_one(), asio::use_awaitable_t<executor>());
    if (!failed) total += of_one;
    if (!other_failed) total += of_other;
    if (!failed && !other_failed) ++i;
  }
}

class asio_on_one_thread final : public coroutines {
 public:
  std::optional<double> send(std::size_t capacity, std::size_t count) override {
    asio::io_context context(1);
    channel numbers(context, capacity);
    std::atomic<std::uint64_t> total = 0;
    start(context, {send_range(numbers, 0, count), receive_some(numbers, count, total)});
    return static_cast<double>(count) * 1e3 / run(context, total, sum_below(count));
  }

  std::optional<double> ping_pong(std::size_t count) override {
    asio::io_context context(1);
    channel there(context, 1), back(context, 1);
    std::uint64_t total = 0;
    start(context, {first_player(there, back, count, total), pass_on(there, back, count, 1, false)});
    return run(context, total, sum_below(count) + count) / static_cast<double>(count);
  }

  std::optional<double> commstime(std::size_t count) override {
    asio::io_context context(1);
    channel to_delta(context), to_successor(context), to_prefix(context), to_consumer(context);
    std::atomic<std::uint64_t> total = 0;
    start(context,
          {pass_on(to_prefix, to_delta, count - 1, 0, true), pass_on_twice(to_delta, to_consumer, to_successor, count),
           pass_on(to_successor, to_prefix, count - 1, 1, false), receive_some(to_consumer, count, total)});
    return run(context, total, sum_below(count)) / static_cast<double>(4 * count);
  }

  std::optional<double> select(std::size_t channels, std::size_t count) override {
    if (channels != 2) return {};
    asio::io_context context(1);
    channel one(context, 1), other(context, 1);
    std::uint64_t total = 0;
    start(context, {select_of_two(one, other, count, total), send_alternately(one, other, count)});
    return run(context, total, sum_below(count)) / static_cast<double>(count);
  }

 private:
  template <std::size_t N>
  void start(asio::io_context& context, coroutine (&&all)[N]) {
    for (coroutine& one : all) asio::co_spawn(context, std::move(one), rethrow);
  }

  // Nanoseconds until all have ended. The total is looked at then.
  template <class Total>
  double run(asio::io_context& context, const Total& total, std::uint64_t expected) {
    const double ns = time_ns([&] { context.run(); });
    check(total == expected, "the sum is wrong");
    return ns;
  }
};

coroutine receive_one(channel& from, std::size_t& had) {
  co_await from.async_receive(asio::deferred);
  ++had;
}

}  // namespace

streams of_asio() {
  return {{"asio concurrent_channel", [](const traffic& t) { return t.by == sides::coroutines; }, run_on_two_threads}};
}

coroutines& one_thread_of_asio() {
  static asio_on_one_thread all;
  return all;
}

void asio_idle(std::size_t count, std::size_t capacity, const std::function<void()>& made) {
  asio::io_context context(1);
  const executor where = context.get_executor();
  hold_idle<channel>(count, made, where, capacity);
}

std::size_t asio_waiters(std::size_t count, const std::function<void()>& waiting) {
  asio::io_context context(1);
  channel numbers(context, count);
  std::size_t had = 0;
  for (std::size_t i = 0; i < count; ++i) asio::co_spawn(context, receive_one(numbers, had), rethrow);
  context.poll();
  waiting();
  const std::size_t early = had;
  for (std::size_t i = 0; i < count; ++i) numbers.try_send(error_code(), i);
  context.restart();
  context.run();
  return had - early;
}

}  // namespace bench::channel
