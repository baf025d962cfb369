// Awaits that are given up: in time, because another one was first, or stopped.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <stop_token>
#include <string>
#include <tests/support/awaited_messages.hpp>
#include <tests/support/failure_of.hpp>
#include <tests/support/ranks.hpp>
#include <tests/support/tasks.hpp>
#include <tutti/core/core.hpp>
#include <tutti/task/task.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti::task;
using tutti_test::before_of;
using tutti_test::end_of;
using tutti_test::everywhere;
using tutti_test::failure_of;
using tutti_test::next_of;
using tutti_test::receive;
using tutti_test::receive_into;
using tutti_test::send;

using objects = std::map<std::string, std::vector<int>>;

// A receive that nobody sends is given up; what comes later is for another.
template <class T>
task<> given_up(const communicator& all, T value) {
  const auto end_1 = co_await end_of([&] { return tutti::with_timeout(receive<T>(all, before_of(all), 4), 5ms); });
  EXPECT_EQ(end_1, "timed_out");
  mpi::request here = all.ibarrier();
  co_await here;
  auto sending = send(all, value, next_of(all), 4);
  auto receiving = receive<T>(all, before_of(all), 4);
  const auto came = co_await tutti::when_all(std::move(receiving), std::move(sending));
  EXPECT_TRUE(tutti_test::same(std::get<0>(came), value));
}
template <class T>
void given_up_everywhere(const T& value) {
  everywhere("await timeout", [&](const communicator& all) { return given_up(all, value); });
}
TEST(SpecGiveUp, AReceiveThatNobodySendsIsGivenUpInTime) {
  given_up_everywhere(5);
  given_up_everywhere(std::vector<int>{1, 2, 3});
  given_up_everywhere(std::string("text"));
  given_up_everywhere(objects{{"a", {1}}});
}

task<> into_given_up(const communicator& all) {
  int into = -1;
  const std::string end =
      co_await end_of([&] { return tutti::with_timeout(receive_into(all, into, before_of(all), 4), 5ms); });
  EXPECT_EQ(end, "timed_out");
  mpi::request here = all.ibarrier();
  co_await here;
  co_await send(all, 7, next_of(all), 4);
  const int came = co_await receive<int>(all, before_of(all), 4);
  EXPECT_EQ(came, 7);
  EXPECT_EQ(into, -1);
}
TEST(SpecGiveUp, MemoryOfAReceiveThatWasGivenUpIsNotWritten) { everywhere("await into timeout", into_given_up); }

// The task is given up while its request lives on: it has ended.
TEST(SpecGiveUp, ARequestWhoseAwaiterWasStoppedHasEnded) {
  const communicator all = mpi::world().dup("await stopped request");
  int into = -1;
  mpi::request received = all.irecv_into(into, before_of(all), 1);
  auto waits = [&]() -> task<> { co_await received; };
  auto body = [&]() -> task<std::string> {
    co_return co_await end_of([&] { return tutti::with_timeout(waits(), 5ms); });
  };
  EXPECT_EQ(mpi::run(body()), "timed_out");
  EXPECT_FALSE(received.active());
  all.barrier();
  all.send(1, next_of(all), 1);
  EXPECT_EQ(all.recv<int>(before_of(all), 1), 1);
  EXPECT_EQ(into, -1);
}

task<> first_of_two(const communicator& all) {
  const int value = 8;
  mpi::request sent = all.isend(value, next_of(all), 1);
  auto first = co_await tutti::when_any(receive<int>(all, before_of(all), 2), receive<int>(all, before_of(all), 1));
  EXPECT_EQ(first.index, 1U);
  EXPECT_EQ(std::get<1>(first.value), 8);
  co_await sent;
  mpi::request here = all.ibarrier();
  co_await here;
  mpi::request later = all.isend(value, next_of(all), 2);
  const int came = co_await receive<int>(all, before_of(all), 2);
  EXPECT_EQ(came, 8);
  co_await later;
}
TEST(SpecGiveUp, TheFirstOfTwoEndsTheOther) { everywhere("await any", first_of_two); }

task<> first_of_objects(const communicator& all) {
  objects a;
  a["a"].push_back(1);
  objects b;
  b["b"].push_back(2);
  mpi::request sent = all.isend(a, next_of(all), 1);
  auto first =
      co_await tutti::when_any(receive<objects>(all, before_of(all), 2), receive<objects>(all, before_of(all), 1));
  EXPECT_EQ(first.index, 1U);
  EXPECT_EQ(std::get<1>(first.value), a);
  co_await sent;
  mpi::request here = all.ibarrier();
  co_await here;
  mpi::request later = all.isend(b, next_of(all), 2);
  const objects came = co_await receive<objects>(all, before_of(all), 2);
  EXPECT_EQ(came, b);
  co_await later;
}
TEST(SpecGiveUp, TheFirstOfTwoObjectsEndsTheOther) { everywhere("await any object", first_of_objects); }

TEST(SpecGiveUp, AStopGivesReceivesUp) {
  const communicator all = mpi::world().dup("await stop");
  tutti::thread_pool pool(2);
  std::stop_source stop;
  int into = -1;
  auto fixed = pool.with({.stop = stop.get_token()}).submit(receive<int>(all, before_of(all), 1));
  auto list = pool.with({.stop = stop.get_token()}).submit(receive<std::vector<int>>(all, before_of(all), 1));
  auto memory = pool.with({.stop = stop.get_token()}).submit(receive_into(all, into, before_of(all), 1));
  all.barrier();
  stop.request_stop();
  EXPECT_EQ(tutti_test::end_of_future(std::move(fixed)), "cancelled");
  EXPECT_EQ(tutti_test::end_of_future(std::move(list)), "cancelled");
  EXPECT_EQ(tutti_test::end_of_future(std::move(memory)), "cancelled");
  all.barrier();
  all.send(std::vector<int>{1}, next_of(all), 1);
  EXPECT_EQ(all.recv<std::vector<int>>(before_of(all), 1), std::vector<int>{1});
  EXPECT_EQ(into, -1);
}

TEST(SpecGiveUp, CancellingFuturesGivesReceivesUp) {
  const communicator all = mpi::world().dup("await cancel");
  tutti::thread_pool pool(2);
  std::vector<tutti::future<int>> waiting;
  for (int i = 0; i < 200; ++i) waiting.push_back(pool.submit(receive<int>(all, before_of(all), i)));
  for (auto& one : waiting) one.cancel();
  for (auto& one : waiting) EXPECT_EQ(tutti_test::end_of_future(std::move(one)), "cancelled");
  all.barrier();
  for (int i = 0; i < 200; ++i) EXPECT_EQ(all.sendrecv(i, next_of(all), before_of(all), i, i), i);
}

// Its memory is in use: what is sent is waited for whatever is asked.
TEST(SpecGiveUp, AStopWaitsForSends) {
  const communicator all = mpi::world().dup("await stopped send");
  tutti::thread_pool pool(1);
  std::stop_source stop;
  std::atomic<bool> alive = true;
  auto body = [&]() -> task<> {
    std::vector<int> out(100'000, 6);
    mpi::request sent = all.issend(out, next_of(all), 1);
    std::exception_ptr error;
    try {
      co_await sent;
    } catch (const tutti::cancelled&) {  // that it was asked to stop may be said afterwards
    }
    EXPECT_FALSE(sent.active());
    alive = false;
    std::fill(out.begin(), out.end(), 0);
  };
  auto sending = pool.with({.stop = stop.get_token()}).submit(body());
  // It has begun once its message is there.
  static_cast<void>(all.probe(before_of(all), 1));
  all.barrier();
  stop.request_stop();
  all.barrier();
  EXPECT_TRUE(alive);
  all.barrier();
  EXPECT_EQ(all.recv<std::vector<int>>(before_of(all), 1), std::vector<int>(100'000, 6));
  static_cast<void>(tutti_test::end_of_future(std::move(sending)));
  EXPECT_FALSE(alive);
}

TEST(SpecGiveUp, AStoppedTaskAtItsNextReceive) {
  const communicator all = mpi::world().dup("await stopped before");
  auto body = [&]() -> task<std::string> {
    auto late = [&]() -> task<int> {
      static_cast<void>(co_await end_of(tutti_test::sleep_for_ever));
      co_return co_await all.irecv<int>(before_of(all), 1);
    };
    co_return co_await end_of([&] { return tutti::with_timeout(late(), 1ms); });
  };
  EXPECT_EQ(mpi::run(body()), "timed_out");
  all.barrier();
  EXPECT_EQ(all.sendrecv(5, next_of(all), before_of(all), 1, 1), 5);
}

}  // namespace
