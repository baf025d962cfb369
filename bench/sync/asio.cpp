// Boost.Asio has no lock for coroutines; its users take a channel that holds one message: sending it is locking,
// receiving it is unlocking. Both first try without waiting, which saves a round through the context.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "loops.hpp"

namespace bench::sync {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;

using executor = asio::io_context::executor_type;
using coroutine = asio::awaitable<void, executor>;

// For one thread, as all of the context here.
class lock_of_asio {
 public:
  explicit lock_of_asio(asio::io_context& context) : held_(context, 1) {}

  bool try_lock() { return held_.try_send(error_code()); }
  auto lock() { return held_.async_send(error_code(), asio::deferred); }
  void unlock() {
    held_.try_receive([](error_code) {});
  }

 private:
  asio::experimental::channel<executor, void(error_code)> held_;
};

void rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

coroutine lock_often(lock_of_asio& lock, std::size_t count, std::size_t& inside) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!lock.try_lock()) co_await lock.lock();
    ++inside;
    lock.unlock();
  }
}

values lock_and_unlock_async(std::size_t count, placement) {
  asio::io_context context(1);
  lock_of_asio lock(context);
  std::size_t inside = 0;
  asio::co_spawn(context, lock_often(lock, count, inside), rethrow);
  const double ns = time_ns([&] { context.run(); });
  check(inside == count, "the count is wrong");
  return {ns / static_cast<double>(count)};
}

struct handed_over {
  lock_of_asio lock;
  std::size_t turns = 0, changes = 0, last = 2;
};

coroutine lock_in_turn(handed_over& data, std::size_t me, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!data.lock.try_lock()) co_await data.lock.lock();
    ++data.turns;
    if (std::exchange(data.last, me) != me) ++data.changes;
    co_await asio::post(asio::deferred);
    data.lock.unlock();
    co_await asio::post(asio::deferred);
  }
}

values hand_over(std::size_t count, placement) {
  asio::io_context context(1);
  handed_over data{lock_of_asio(context)};
  for (std::size_t me : {0UL, 1UL}) asio::co_spawn(context, lock_in_turn(data, me, count / 2), rethrow);
  const double ns = time_ns([&] { context.run(); });
  check(data.turns == count / 2 * 2, "the count is wrong");
  check(data.changes > count / 2, "the lock was not handed over");
  return {ns / static_cast<double>(count)};
}

coroutine wait_once(lock_of_asio& lock, std::size_t& had) {
  if (!lock.try_lock()) co_await lock.lock();
  ++had;
  lock.unlock();
}

}  // namespace

std::size_t asio_waiters(std::size_t count, const std::function<void()>& waiting) {
  asio::io_context context(1);
  lock_of_asio lock(context);
  std::size_t had = 0;
  lock.try_lock();
  for (std::size_t i = 0; i < count; ++i) asio::co_spawn(context, wait_once(lock, had), rethrow);
  context.poll();
  waiting();
  const std::size_t early = had;
  lock.unlock();
  context.restart();
  context.run();
  return had - early;
}

offers of_asio() {
  return {{what::async_mutex, "asio channel", lock_and_unlock_async}, {what::async_turns, "asio channel", hand_over}};
}

}  // namespace bench::sync
