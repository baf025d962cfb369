// Requests awaited by coroutines: in mpi::run, on a pool and in sync_wait; together and failing.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <numeric>
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
using tutti_test::many;
using tutti_test::next_of;
using tutti_test::person;
using tutti_test::receive;
using tutti_test::send;
using tutti_test::send_synchronously;

using objects = std::map<std::string, std::vector<int>>;

objects object_of(int tag, int rank) { return {{std::to_string(tag), {rank, tag}}}; }

template <class T>
task<> round_trip(const communicator& all, const T& value, int tag) {
  mpi::request sent = all.issend(value, next_of(all), tag);
  T came = co_await all.irecv<T>(before_of(all), tag);
  EXPECT_TRUE(tutti_test::same(came, value));
  co_await sent;
  co_await sent;  // nothing is under way any more
}

template <class T>
void kind_everywhere(const T& value) {
  everywhere("await kinds", [&](const communicator& all) { return round_trip(all, value, 1); });
}
TEST(SpecAwait, ValuesOfAllKinds) {
  kind_everywhere(42);
  kind_everywhere(tutti_test::particle{1, 2, 3});
  kind_everywhere(std::vector<double>(3, 1.5));
  kind_everywhere(std::vector<double>(300'000, 1.5));
  kind_everywhere(std::string("text"));
  kind_everywhere(std::string());
  kind_everywhere(objects{{"a", {1, 2}}, {"b", {}}});
  kind_everywhere(person{"Ada", 36, {"x"}});
  kind_everywhere(std::make_unique<int>(5));
}

task<> many_in_a_row(const communicator& all) {
  int value = all.rank();
  for (int i = 0; i < 500; ++i) {
    int came = -1;
    mpi::request received = all.irecv_into(came, before_of(all), i % 7);
    co_await send(all, value, next_of(all), i % 7);
    const mpi::status about = co_await received;
    EXPECT_EQ(about.source, before_of(all));
    EXPECT_EQ(about.tag, i % 7);
    EXPECT_EQ(about.bytes, sizeof(int));
    value = came;
  }
  EXPECT_EQ(value, ((all.rank() - 500) % all.size() + all.size()) % all.size());
}
TEST(SpecAwait, ManyInARow) { everywhere("await row", many_in_a_row); }

task<> together(const communicator& all) {
  const std::vector<int> large(200'000, all.rank());
  const std::string two = "two";
  objects three;
  three["three"].push_back(3);
  auto list = receive<std::vector<int>>(all, before_of(all), 1);
  auto text = receive<std::string>(all, mpi::any_source, 2);
  auto object = receive<objects>(all, before_of(all), 3);
  auto first = send(all, large, next_of(all), 1);
  auto second = send(all, two, next_of(all), 2);
  auto third = send_synchronously(all, three, next_of(all), 3);
  const auto came = co_await tutti::when_all(std::move(list), std::move(text), std::move(object), std::move(first),
                                             std::move(second), std::move(third));
  EXPECT_EQ(std::get<0>(came), std::vector<int>(200'000, before_of(all)));
  EXPECT_EQ(std::get<1>(came), two);
  EXPECT_EQ(std::get<2>(came), three);
}
TEST(SpecAwait, SeveralTogether) { everywhere("await together", together); }

task<> thousands(const communicator& all) {
  constexpr int count = 3000;
  std::vector<task<int>> receives;
  for (int tag = count - 1; tag >= 0; --tag) receives.push_back(receive<int>(all, before_of(all), tag));
  std::vector<int> out(count);
  std::iota(out.begin(), out.end(), 10 * all.rank());
  std::vector<task<>> sends;
  for (int tag = 0; tag < count; ++tag) sends.push_back(send(all, out[many(tag)], next_of(all), tag));
  const auto came = co_await tutti::when_all(tutti::when_all(std::move(receives)), tutti::when_all(std::move(sends)));
  const std::vector<int>& values = std::get<0>(came);
  for (int i = 0; i < count; ++i) EXPECT_EQ(values[many(i)], 10 * before_of(all) + count - 1 - i);
}
TEST(SpecAwait, ThousandsAtOnce) { everywhere("await thousands", thousands); }

// Found by probes, so all look for messages at once.
task<> hundreds_of_objects(const communicator& all) {
  constexpr int count = 300;
  std::vector<task<objects>> receives;
  for (int tag = count - 1; tag >= 0; --tag) receives.push_back(receive<objects>(all, before_of(all), tag));
  std::vector<task<>> sends;
  std::vector<objects> out;
  for (int tag = 0; tag < count; ++tag) out.push_back(object_of(tag, all.rank()));
  for (int tag = 0; tag < count; ++tag) sends.push_back(send_synchronously(all, out[many(tag)], next_of(all), tag));
  const auto came = co_await tutti::when_all(tutti::when_all(std::move(receives)), tutti::when_all(std::move(sends)));
  for (int i = 0; i < count; ++i) {
    const int tag = count - 1 - i;
    EXPECT_EQ(std::get<0>(came)[many(i)], object_of(tag, before_of(all)));
  }
}
TEST(SpecAwait, HundredsOfObjectsAtOnce) { everywhere("await objects", hundreds_of_objects); }

// ---- errors

task<> errors_arrive(const communicator& all) {
  if (all.size() > 1) {  // (Open MPI does not report what is truncated on its way to the sender itself)
    int small = -1;
    mpi::request received = all.irecv_into(small, before_of(all), 1);
    mpi::request here = all.ibarrier();
    co_await here;
    const std::vector<int> out(10, 3);
    mpi::request sent = all.isend(out, next_of(all), 1);
    auto waits = [&]() -> task<> { co_await received; };
    const std::string text = co_await failure_of<mpi::error>(waits());
    EXPECT_TRUE(text.find("irecv") != std::string::npos) << text;
    EXPECT_TRUE(text.find(all.name()) != std::string::npos) << text;
    EXPECT_TRUE(text.find("rank " + std::to_string(all.rank())) != std::string::npos) << text;
    EXPECT_FALSE(received.active());
    co_await sent;
  }
  // A message of another length than the value's.
  const short two = 2;
  mpi::request sent = all.isend(two, next_of(all), 2);
  const auto end_2 = co_await failure_of<mpi::error>(receive<double>(all, before_of(all), 2));
  EXPECT_NE(end_2, "no such error");
  co_await sent;
  // A message that is not a number of elements.
  mpi::request odd = all.isend("abc", next_of(all), 3);
  const auto end_3 = co_await failure_of<mpi::error>(receive<std::vector<int>>(all, before_of(all), 3));
  EXPECT_NE(end_3, "no such error");
  co_await odd;
  // Bytes that are no such object.
  mpi::request broken = all.isend("\xff\xff\xff\xff", next_of(all), 4);
  const auto end_4 = co_await failure_of<tutti::decode_error>(receive<objects>(all, before_of(all), 4));
  EXPECT_NE(end_4, "no such error");
  co_await broken;
  const auto end_5 = co_await failure_of<mpi::error>(receive<int>(all, all.size(), 0));
  EXPECT_NE(end_5, "no such error");
  const auto end_6 = co_await failure_of<mpi::error>(receive<objects>(all, all.size(), 0));
  EXPECT_NE(end_6, "no such error");
  const auto end_7 = co_await failure_of<mpi::error>(receive<std::vector<int>>(all, 0, -9));
  EXPECT_NE(end_7, "no such error");
  // All of those that failed are gone.
  co_await round_trip(all, 1, 5);
}
TEST(SpecAwait, ErrorsArriveInTheCoroutine) { everywhere("await errors", errors_arrive); }

// An exception leaves others that wait behind: they are stopped.
TEST(SpecAwait, AnExceptionBesideAReceiveGivesItUp) {
  const communicator all = mpi::world().dup("await thrown");
  auto body = [&]() -> task<std::string> {
    co_return co_await failure_of<std::runtime_error>(
        tutti::when_all(receive<std::vector<int>>(all, before_of(all), 1), tutti_test::fail_after(1ms, "on purpose")));
  };
  EXPECT_EQ(mpi::run(body()), "on purpose");
  all.barrier();
  EXPECT_EQ(all.sendrecv(5, next_of(all), before_of(all), 1, 1), 5);
}

TEST(SpecAwait, RunThrowsWhatItsTaskThrows) {
  EXPECT_THROW(mpi::run(tutti_test::fail("on purpose")), std::runtime_error);
  EXPECT_EQ(mpi::run(tutti_test::give_later(5)), 5);
}

// ---- beside other work

TEST(SpecAwait, WhatHasEndedAlreadyIsNotWaitedFor) {
  const communicator all = mpi::world().dup("await ready");
  auto body = [&]() -> task<> {
    mpi::request none;
    co_await none;
    int into = 0;
    mpi::request received = all.irecv_into(into, before_of(all), 1);
    all.send(4, next_of(all), 1);
    received.wait();
    co_await received;
    EXPECT_EQ(into, 4);
    const auto end_8 = co_await all.irecv<int>(mpi::no_rank);
    EXPECT_EQ(end_8, 0);
    const auto no_list = co_await all.irecv<std::vector<int>>(mpi::no_rank);
    EXPECT_TRUE(no_list.empty());
    mpi::request nowhere = all.isend(1, mpi::no_rank);
    co_await nowhere;
  };
  mpi::run(body());
  tutti::sync_wait(body());
}

TEST(SpecAwait, ObjectsFromNoRankAreEmpty) {
  const communicator all = mpi::world().dup("await no rank");
  EXPECT_TRUE(mpi::run(receive<objects>(all, mpi::no_rank, 1)).empty());
}

TEST(SpecAwait, TimersAndOtherTasksGoOnMeanwhile) {
  const communicator all = mpi::world().dup("await beside");
  auto body = [&]() -> task<> {
    auto receiving = receive<std::vector<int>>(all, before_of(all), 1);
    auto later = [&]() -> task<int> {
      int turns = 0;
      for (; turns < 100; ++turns) co_await tutti::yield_now();
      co_await tutti::sleep_for(2ms);
      const std::vector<int> out(1, turns);
      co_await send(all, out, next_of(all), 1);
      co_return turns;
    };
    const auto came = co_await tutti::when_all(std::move(receiving), later());
    EXPECT_EQ(std::get<0>(came), std::vector<int>{100});
  };
  mpi::run(body());
  tutti::thread_pool pool(1);
  pool.submit(body()).get();
}

// Whoever waits on a pool does not hold its worker.
TEST(SpecAwait, AWorkerIsFreeWhileATaskAwaits) {
  const communicator all = mpi::world().dup("await free worker");
  tutti::thread_pool pool(1);
  auto waiting = pool.submit(receive<int>(all, before_of(all), 1));
  EXPECT_EQ(pool.submit([] { return 5; }).get(), 5);
  EXPECT_FALSE(waiting.done());
  all.barrier();
  all.send(9, next_of(all), 1);
  EXPECT_EQ(waiting.get(), 9);
}

// Progress is made without anybody calling MPI: a large message goes through while this thread waits for futures only.
TEST(SpecAwait, ProgressIsMadeWithoutCalls) {
  const communicator all = mpi::world().dup("await progress");
  tutti::thread_pool pool(2);
  const std::vector<int> out(1'000'000, all.rank());
  auto sending = pool.submit(send(all, out, next_of(all), 1));
  auto receiving = pool.submit(receive<std::vector<int>>(all, before_of(all), 1));
  EXPECT_EQ(receiving.get(), std::vector<int>(1'000'000, before_of(all)));
  sending.get();
}

task<> collectives_awaited(const communicator& all) {
  const int n = all.size();
  for (int round = 0; round < 10; ++round) {
    const std::vector<int> mine{all.rank() + round};
    std::vector<int> sum(1);
    std::vector<int> from_root{all.rank() == 0 ? round : -1};
    std::vector<int> gathered(many(n));
    mpi::request a = all.iallreduce(mine, sum, mpi::sum);
    mpi::request b = all.ibcast(from_root);
    mpi::request c = all.iallgather(mine, gathered);
    mpi::request d = all.ibarrier();
    co_await d;
    co_await c;
    co_await b;
    co_await a;
    EXPECT_EQ(sum[0], n * (n - 1) / 2 + n * round);
    EXPECT_EQ(from_root[0], round);
    for (int r = 0; r < n; ++r) EXPECT_EQ(gathered[many(r)], r + round);
  }
}
TEST(SpecAwait, CollectivesAreAwaitedToo) { everywhere("await collectives", collectives_awaited); }

// A stop does not leave a collective behind that others are in.
TEST(SpecAwait, AStopWaitsForCollectives) {
  const communicator all = mpi::world().dup("await stopped collective");
  std::vector<int> out(1);
  auto body = [&]() -> task<> {
    const std::vector<int> mine{1};
    mpi::request sum = all.iallreduce(mine, out, mpi::sum);
    co_await sum;
  };
  auto limited = [&]() -> task<> {
    static_cast<void>(co_await end_of([&] { return tutti::with_timeout(body(), 0s); }));
  };
  mpi::run(limited());
  // With a limit of nothing it may not have begun; either all have, or none.
  EXPECT_TRUE(out[0] == all.size() || out[0] == 0);
  EXPECT_EQ(all.allreduce(out[0], mpi::min), all.allreduce(out[0], mpi::max));
}

TEST(SpecAwait, SeveralRunsOneAfterTheOther) {
  const communicator all = mpi::world().dup("await runs");
  for (int i = 0; i < 50; ++i) mpi::run(round_trip(all, i, 1));
  for (int i = 0; i < 20; ++i) {
    tutti::thread_pool pool(2);
    pool.submit(round_trip(all, std::vector<int>{i}, 1)).get();
  }
}

// Tasks on a pool, a loop on this thread and plain calls of this thread.
TEST(SpecAwait, PoolsAndLoopsAtOnce) {
  const communicator all = mpi::world().dup("await mixed");
  const communicator other = mpi::world().dup("await mixed 2");
  tutti::thread_pool pool(3);
  std::vector<tutti::future<void>> running;
  std::vector<objects> values;
  for (int i = 0; i < 60; ++i) values.push_back(object_of(i, i));
  for (int i = 0; i < 60; ++i) running.push_back(pool.submit(round_trip(all, values[many(i)], i)));
  for (int i = 0; i < 30; ++i) {
    mpi::run(round_trip(other, i, 1));
    EXPECT_EQ(other.sendrecv(i, next_of(other), before_of(other), 2, 2), i);
  }
  for (auto& one : running) one.get();
}

}  // namespace
