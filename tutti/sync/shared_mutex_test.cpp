// shared_mutex: readers together, writers alone, who goes first under each policy, whom unlocking is refused.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <tests/support/gates.hpp>
#include <tests/support/tasks.hpp>
#include <thread>
#include <tutti/core/run_loop.hpp>
#include <tutti/sync/shared_mutex.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using tutti::shared_mutex;
using tutti::shared_policy;
using tutti::task;
using tutti_test::until;
using tutti_test::waiting_for;
using tutti_test::watchdog;

// Runs elsewhere, as somebody else.
template <class Act>
void as_stranger(Act act) {
  std::thread(act).join();
}
bool can_read(shared_mutex& m) {
  bool got = false;
  as_stranger([&] {
    got = m.try_lock_shared();
    if (got) m.unlock_shared();
  });
  return got;
}
bool can_write(shared_mutex& m) {
  bool got = false;
  as_stranger([&] {
    got = m.try_lock();
    if (got) m.unlock();
  });
  return got;
}

TEST(SharedMutex, ReadersTogetherWritersAlone) {
  shared_mutex m;
  EXPECT_EQ(m.policy(), shared_policy::fair);
  m.lock_shared();
  EXPECT_TRUE(can_read(m));
  EXPECT_FALSE(can_write(m));
  m.lock_shared();  // the same reader, once more
  m.unlock_shared();
  EXPECT_FALSE(can_write(m));
  m.unlock_shared();
  EXPECT_TRUE(can_write(m));
  m.lock();
  EXPECT_FALSE(can_read(m));
  EXPECT_FALSE(can_write(m));
  m.unlock();
  EXPECT_TRUE(can_read(m));
}

TEST(SharedMutex, ServesTheGuardsOfTheStandardLibrary) {
  shared_mutex m("config");
  {
    const std::shared_lock one(m);
    const std::shared_lock two(m, std::try_to_lock);
    EXPECT_TRUE(two.owns_lock());
    EXPECT_FALSE(can_write(m));
  }
  const std::unique_lock alone(m);
  EXPECT_FALSE(can_read(m));
}

TEST(SharedMutex, TheFormsOfReading) {
  const watchdog dog;
  tutti::virtual_clock clock;
  shared_mutex m;
  m.lock();
  {
    std::jthread waits([&] {
      m.lock_shared();
      m.unlock_shared();
    });
    std::jthread waits_long([&] {
      EXPECT_TRUE(m.lock_shared_for(std::chrono::nanoseconds::max()));
      m.unlock_shared();
    });
    std::jthread gives_up([&] { EXPECT_FALSE(m.lock_shared_for(10s)); });
    std::jthread stops([&](const std::stop_token& stop) { EXPECT_THROW(m.lock_shared(stop), tutti::cancelled); });
    as_stranger([&] {
      EXPECT_FALSE(m.lock_shared_for(0s));
      EXPECT_FALSE(m.lock_shared_for(-1s));
    });
    until([] { return waiting_for("shared_mutex::lock_shared") == 2; });
    until([] { return waiting_for("shared_mutex::lock_shared_for") == 2; });
    clock.advance(10s);
    gives_up.join();
    stops.request_stop();
    stops.join();
    m.unlock();
  }
  EXPECT_TRUE(m.lock_shared_for(0s));
  std::stop_source stopped;
  stopped.request_stop();
  m.lock_shared(stopped.get_token());
  m.unlock_shared();
  m.unlock_shared();
  EXPECT_TRUE(can_write(m));
}

// Its coroutines run when the test says so; who comes and who goes is written down.
class shared_mutex_in_loop : public testing::TestWithParam<shared_policy> {
  watchdog dog_;

 protected:
  ~shared_mutex_in_loop() override { loop.shutdown(); }
  void run_all() { loop.run(tutti_test::some_turns()); }
  task<> read(std::string name) {
    const auto guard = co_await m.lock_shared_async();
    log += " +" + name;
    co_await tutti::yield_now();
    log += " -" + name;
  }
  task<> write(std::string name) {
    const auto guard = co_await m.lock_async();
    log += " +" + name;
    co_await tutti::yield_now();
    log += " -" + name;
  }
  // Arrives, and waits.
  tutti::future<void> arrive(const std::string& name) {
    auto f = loop.submit(name.front() == 'r' ? read(name) : write(name));
    run_all();
    return f;
  }
  shared_mutex m{GetParam(), "config"};
  std::string log;
  tutti::run_loop loop;
};

TEST_P(shared_mutex_in_loop, order_behind_a_writer) {
  m.lock();
  std::vector<tutti::future<void>> all;
  for (const char* name : {"r1", "w1", "r2", "r3", "w2", "r4"}) all.push_back(arrive(name));
  EXPECT_EQ(log, "");
  m.unlock();
  run_all();
  switch (GetParam()) {
    case shared_policy::fair: EXPECT_EQ(log, " +r1 -r1 +w1 -w1 +r2 +r3 -r2 -r3 +w2 -w2 +r4 -r4"); break;
    case shared_policy::prefer_readers: EXPECT_EQ(log, " +r1 +r2 +r3 +r4 -r1 -r2 -r3 -r4 +w1 -w1 +w2 -w2"); break;
    case shared_policy::prefer_writers: EXPECT_EQ(log, " +w1 -w1 +w2 -w2 +r1 +r2 +r3 +r4 -r1 -r2 -r3 -r4"); break;
  }
  EXPECT_TRUE(can_write(m));
}

TEST_P(shared_mutex_in_loop, order_behind_a_reader) {
  m.lock_shared();
  std::vector<tutti::future<void>> all;
  for (const char* name : {"w1", "r1", "w2", "r2"}) all.push_back(arrive(name));
  m.unlock_shared();
  run_all();
  switch (GetParam()) {
    case shared_policy::fair: EXPECT_EQ(log, " +w1 -w1 +r1 -r1 +w2 -w2 +r2 -r2"); break;
    case shared_policy::prefer_readers: EXPECT_EQ(log, " +r1 -r1 +r2 -r2 +w1 -w1 +w2 -w2"); break;
    case shared_policy::prefer_writers: EXPECT_EQ(log, " +w1 -w1 +w2 -w2 +r1 +r2 -r1 -r2"); break;
  }
  EXPECT_TRUE(can_write(m));
}

TEST_P(shared_mutex_in_loop, a_newcomer_passes_a_waiting_writer_only_if_readers_are_preferred) {
  m.lock_shared();
  EXPECT_TRUE(can_read(m));
  auto writer = arrive("w");
  EXPECT_EQ(can_read(m), GetParam() == shared_policy::prefer_readers);
  EXPECT_FALSE(can_write(m));
  m.unlock_shared();
  EXPECT_FALSE(can_read(m)) << "it is the writer's, which does not know yet";
  run_all();
  writer.get();
  EXPECT_TRUE(can_read(m));
}

TEST_P(shared_mutex_in_loop, who_gives_up_lets_those_behind_it_go_on) {
  m.lock_shared();
  auto writer = arrive("w"), reader = arrive("r");
  EXPECT_EQ(log, GetParam() == shared_policy::prefer_readers ? " +r -r" : "");
  writer.cancel();
  run_all();
  EXPECT_EQ(tutti_test::end_of_future(std::move(writer)), "cancelled");
  EXPECT_EQ(log, " +r -r") << "while the first reader still reads";
  EXPECT_TRUE(can_read(m));
  m.unlock_shared();
  EXPECT_TRUE(can_write(m));
}

TEST_P(shared_mutex_in_loop, all_who_wait_give_up) {
  m.lock();
  std::vector<tutti::future<void>> all;
  for (const char* name : {"w1", "r1", "w2"}) all.push_back(arrive(name));
  for (auto& f : all) f.cancel();
  m.unlock();  // before they know that they were stopped
  run_all();
  for (auto& f : all) EXPECT_EQ(tutti_test::end_of_future(std::move(f)), "cancelled");
  EXPECT_TRUE(can_write(m));
}

TEST_P(shared_mutex_in_loop, limits_of_coroutines) {
  tutti::virtual_clock clock;
  m.lock();
  auto limited = [&](std::chrono::nanoseconds limit, bool shared) -> task<bool> {
    auto guard = shared_mutex::async_guard();
    if (shared) {
      guard = co_await m.lock_shared_for_async(limit);
    } else {
      guard = co_await m.lock_for_async(limit);
    }
    co_return guard.owns_lock();
  };
  for (const bool shared : {false, true}) {
    EXPECT_FALSE(loop.run(limited(0s, shared)));
    auto f = loop.submit(limited(10s, shared));
    run_all();
    clock.advance(10s);
    run_all();
    EXPECT_FALSE(f.get());
  }
  auto w = loop.submit(limited(10s, false)), r = loop.submit(limited(std::chrono::nanoseconds::max(), true));
  run_all();
  m.unlock();
  run_all();
  EXPECT_TRUE(w.get());
  EXPECT_TRUE(r.get());
  EXPECT_TRUE(can_write(m));
}

TEST_P(shared_mutex_in_loop, guards_move_and_relock_as_what_they_were) {
  auto body = [&]() -> task<> {
    auto reads = co_await m.lock_shared_async();
    auto moved = std::move(reads);
    EXPECT_TRUE(can_read(m));
    moved.unlock();
    EXPECT_TRUE(can_write(m));
    EXPECT_THROW(moved.unlock(), tutti::not_owner);
    co_await moved.relock_async();
    EXPECT_TRUE(can_read(m));
    EXPECT_FALSE(can_write(m));
    moved = co_await m.lock_shared_async();  // both for a moment
    moved = {};
    EXPECT_TRUE(can_write(m));
    auto writes = co_await m.lock_async();
    EXPECT_FALSE(can_read(m));
    writes.unlock();
    co_await writes.relock_async();
    EXPECT_FALSE(can_read(m));
  };
  loop.run(body());
  EXPECT_TRUE(can_write(m));
}

std::string name_of(const testing::TestParamInfo<shared_policy>& tested) {
  if (tested.param == shared_policy::fair) return "fair";
  return tested.param == shared_policy::prefer_readers ? "prefer_readers" : "prefer_writers";
}
INSTANTIATE_TEST_SUITE_P(policies, shared_mutex_in_loop,
                         testing::Values(shared_policy::fair, shared_policy::prefer_readers,
                                         shared_policy::prefer_writers),
                         name_of);

TEST(SharedMutex, ThreadsGoInInTheOrderOfTheirArrival) {
  const watchdog dog;
  shared_mutex m;
  std::string order;
  m.lock();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 5; ++i) {
      threads.emplace_back([&, i] {
        const std::lock_guard guard(m);
        order += static_cast<char>('a' + i);
      });
      until([=] { return waiting_for("shared_mutex::lock") == i + 1; });
    }
    m.unlock();
  }
  EXPECT_EQ(order, "abcde");
}

// ---------------------------------------------------------------- misuse

template <class Act>
std::string error_of(Act act) {
  try {
    act();
  } catch (const tutti::error& e) {
    return e.what();
  }
  return "nothing";
}
#define EXPECT_SAYS(act, part) EXPECT_NE(error_of([&] { act; }).find(part), std::string::npos) << error_of([&] { act; })

TEST(SharedMutex, UnlockingWhatIsNotHeldSoIsRefused) {
  shared_mutex m("config");
  EXPECT_THROW(m.unlock_shared(), tutti::not_owner);
  EXPECT_SAYS(m.unlock_shared(), "shared_mutex \"config\": unlock_shared by this thread, but nobody holds it");
  EXPECT_SAYS(m.unlock(), "nobody holds it");
  m.lock();
  EXPECT_SAYS(m.unlock_shared(), "locked exclusively");
  as_stranger([&] { EXPECT_THROW(m.unlock_shared(), tutti::not_owner); });
  m.unlock();
  m.lock_shared();
  EXPECT_SAYS(m.unlock(), "readers hold it");
  as_stranger([&] { EXPECT_THROW(m.unlock_shared(), tutti::not_owner) << "the only reader is somebody else"; });
  EXPECT_FALSE(can_write(m));
  m.unlock_shared();
  EXPECT_TRUE(can_write(m));
}

TEST(SharedMutex, AStrangerAmongReadersIsFoundAtTheLatestWithTheLast) {
  static shared_mutex& m = *new shared_mutex("config");  // left locked: never destroyed
  m.lock_shared();
  as_stranger([&] { m.lock_shared(); });
  tutti::thread_pool pool(1);
  pool.submit([&] { m.unlock_shared(); }).get();  // neither of the two
  EXPECT_THROW(m.unlock_shared(), tutti::not_owner);
  EXPECT_FALSE(can_write(m)) << "nobody frees what he does not own";
}

TEST(SharedMutex, LockingTwiceIsADeadlock) {
  shared_mutex m("config");
  m.lock();
  EXPECT_THROW(m.lock(), tutti::deadlock);
  EXPECT_SAYS(m.lock_shared(), "shared_mutex \"config\": shared_mutex::lock_shared at ");
  EXPECT_THROW(static_cast<void>(m.lock_for(1h)), tutti::deadlock);
  EXPECT_THROW(static_cast<void>(m.lock_shared_for(1h)), tutti::deadlock);
  EXPECT_FALSE(m.try_lock());
  EXPECT_FALSE(m.try_lock_shared());
  m.unlock();
  m.lock_shared();
  EXPECT_SAYS(m.lock(), "which holds it already to read");
  m.unlock_shared();
}

TEST(SharedMutex, ReadingOnALoopsThreadIsRefusedIfItWouldWait) {
  shared_mutex m;
  tutti::run_loop loop;
  m.lock();
  loop.post([&] { EXPECT_SAYS(m.lock_shared(), "lock_shared_async()"); });
  as_stranger([&] { loop.shutdown(); });
  m.unlock();
}

}  // namespace
