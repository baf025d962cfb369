// Boost.Asio: awaitables over io_context's own executor type, deferred operations, no strands, a context that is told
// its number of threads: any_io_executor, use_awaitable or parallel_group cost 1.5 to 4 times as much. (A context
// without locks would cost a fifth less, but no other thread could give it work.)
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <numeric>
#include <thread>

#include "systems.hpp"

namespace bench::task {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::steady_clock;

using executor = asio::io_context::executor_type;
template <class T>
using coroutine = asio::awaitable<T, executor>;

[[gnu::noinline]] coroutine<std::size_t> child(std::size_t i) { co_return i; }

// 1.81's deferred co_spawn gives no result, so a spawned child adds it itself.
[[gnu::noinline]] coroutine<void> add(std::size_t i, std::size_t& total) {
  total += i;
  co_return;
}

coroutine<void> sleeper(executor where) {
  asio::basic_waitable_timer<steady_clock, asio::wait_traits<steady_clock>, executor> timer(where,
                                                                                            std::chrono::hours(1));
  co_await timer.async_wait(asio::deferred);
}

void rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

class asio_system : public system {
 public:
  explicit asio_system(int threads) : threads_(threads), context_(threads) {}

  sum spawn(std::size_t count) override {
    std::size_t total = 0;
    run([&]() -> coroutine<void> {
      for (std::size_t i = 0; i < count; ++i) co_await asio::co_spawn(context_, add(i, total), asio::deferred);
    });
    return total;
  }

  sum await_child(std::size_t count) override {
    std::size_t total = 0;
    run([&]() -> coroutine<void> {
      for (std::size_t i = 0; i < count; ++i) total += co_await child(i);
    });
    return total;
  }

  sum take_turns(std::size_t count) override {
    std::size_t turn = 0, total = 0;
    auto play = [&](std::size_t me) -> coroutine<void> {
      for (std::size_t i = me; i < count; i += 2) {
        if (turn++ == i) total += i;
        co_await asio::post(asio::deferred);
      }
    };
    asio::co_spawn(context_, play(0), rethrow);
    run([&] { return play(1); });
    return total;
  }

  sum when_all(std::size_t count) override {
    std::vector<std::size_t> results(count);
    std::atomic<std::size_t> left = count;
    asio::experimental::concurrent_channel<executor, void(error_code)> done(context_, 1);
    run([&]() -> coroutine<void> {
      for (std::size_t i = 0; i < count; ++i) {
        asio::co_spawn(context_, child(i), [&, i](std::exception_ptr, std::size_t result) {
          results[i] = result;
          if (left.fetch_sub(1) == 1) done.try_send(error_code());
        });
      }
      co_await done.async_receive(asio::deferred);
    });
    return std::accumulate(results.begin(), results.end(), std::size_t{0});
  }

  // Timers are kept and set again, as a server does for its connections, and with the common executor type: blocks for
  // the smaller handlers of io_context's own are given back by malloc in the order of the cancels, and the next round
  // goes through memory at random.
  sum timers(std::size_t count) override {
    const timer_plan& plan = plan_timers(count);
    while (timers_.size() < count) timers_.emplace_back(context_);
    std::size_t total = 0;
    asio::post(context_, [&] {
      steady_clock::time_point now = steady_clock::now();
      for (std::size_t i = 0; i < count; ++i) {
        timers_[i].expires_at(now + plan.delays[i]);
        timers_[i].async_wait([&total, i](error_code error) {
          if (error == asio::error::operation_aborted) total += i;
        });
      }
      for (std::size_t i : plan.cancel_order) timers_[i].cancel();
    });
    run();
    return total;
  }

  std::size_t sleepers(std::size_t count, const std::function<void()>& asleep) override {
    asio::post(context_, [&] {
      for (std::size_t i = 0; i < count; ++i) asio::co_spawn(context_, sleeper(context_.get_executor()), rethrow);
      asleep();  // co_spawn has run each up to its wait
      context_.stop();
    });
    run();
    return count;
  }

 private:
  template <class Body>
  void run(Body body) {
    asio::co_spawn(context_, std::move(body), rethrow);
    run();
  }

  void run() {
    context_.restart();
    std::vector<std::jthread> others;
    for (int i = 1; i < threads_; ++i) others.emplace_back([this] { context_.run(); });
    context_.run();
  }

  int threads_;
  asio::io_context context_;
  std::vector<asio::steady_timer> timers_;
};

}  // namespace

std::unique_ptr<system> make_asio(int threads) { return std::make_unique<asio_system>(threads); }

}  // namespace bench::task
