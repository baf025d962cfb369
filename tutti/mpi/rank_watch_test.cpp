// The watch over ranks, from outside: programs of several ranks that hang are ended with a report that names every
// call.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <tests/support/rank_programs.hpp>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/op.hpp>
#include <tutti/mpi/run.hpp>
#include <tutti/task/task.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace mpi = tutti::mpi;
using testing::HasSubstr;
using testing::Not;
using tutti_test::expect_deadlock;
using tutti_test::expect_silent;
using tutti_test::line;

// ---------------------------------------------------------------- what hangs

TEST(RankProgram, DISABLED_receives) {
  const mpi::environment env;
  const auto world = mpi::world();
  static_cast<void>(world.recv<int>(1 - world.rank(), 7));
}
TEST(RankWatch, TwoReceives) {
  expect_deadlock(2, "receives", HasSubstr("ranks 0 and 1 wait for each other"),
                  line(0, "recv from 1, tag 7, on world at "), line(1, "recv from 0, tag 7, on world at "));
}

TEST(RankProgram, DISABLED_received_values) {
  const mpi::environment env;
  const auto world = mpi::world();
  static_cast<void>(world.recv<std::string>(1 - world.rank()));
}
TEST(RankWatch, TwoReceivesOfAnyLength) {
  expect_deadlock(2, "received_values", line(0, "recv from 1, any tag, on world"),
                  line(1, "recv from 0, any tag, on world"));
}

TEST(RankProgram, DISABLED_ssends) {
  const mpi::environment env;
  const auto world = mpi::world();
  world.ssend(1, (world.rank() + 1) % world.size(), 3);
  static_cast<void>(world.recv<int>());
}
TEST(RankWatch, RingOfSynchronousSends) {
  expect_deadlock(3, "ssends", HasSubstr("ranks 0 to 2 wait for each other"), line(0, "ssend to 1, tag 3, on world"),
                  line(1, "ssend to 2, tag 3, on world"), line(2, "ssend to 0, tag 3, on world"));
}

TEST(RankProgram, DISABLED_large_sends) {
  const mpi::environment env;
  const auto world = mpi::world();
  const std::vector<char> large(std::size_t{32} << 20, 'x');  // beyond what any MPI buffers
  world.send(large, 1 - world.rank());
  static_cast<void>(world.recv<std::vector<char>>(1 - world.rank()));
}
TEST(RankWatch, LargeSends) {
  expect_deadlock(2, "large_sends", line(0, "send to 1, tag 0, on world"), line(1, "send to 0, tag 0, on world"));
}

TEST(RankProgram, DISABLED_ring) {
  const mpi::environment env;
  const auto world = mpi::world();
  static_cast<void>(world.recv<int>(world.rank() == 0 ? world.size() - 1 : world.rank() - 1));
}
TEST(RankWatch, RingOfReceives) {
  expect_deadlock(5, "ring", HasSubstr("ranks 0 to 4 wait for each other"), line(0, "recv from 4, any tag, on world"),
                  line(4, "recv from 3, any tag, on world"));
}

TEST(RankProgram, DISABLED_ended) {
  const mpi::environment env;
  const auto world = mpi::world();
  if (world.rank() != 0) static_cast<void>(world.recv<int>(0));
}
TEST(RankWatch, AReceiveFromWhoHasEnded) {
  expect_deadlock(2, "ended", line(0, "the end of its mpi::environment, begun at "),
                  line(1, "recv from 0, any tag, on world"));
}

TEST(RankProgram, DISABLED_wrong_tag) {
  const mpi::environment env;
  const auto world = mpi::world();
  if (world.rank() == 0) world.send(1, 1, 1);
  static_cast<void>(world.recv<int>(mpi::any_source, 2));
}
TEST(RankWatch, AMessageThatNobodyWants) {
  expect_deadlock(3, "wrong_tag", line(0, "recv from any rank, tag 2, on world"),
                  line(2, "recv from any rank, tag 2, on world"));
}

TEST(RankProgram, DISABLED_probes) {
  const mpi::environment env;
  const auto world = mpi::world();
  static_cast<void>(world.probe(1 - world.rank()));
}
TEST(RankWatch, Probes) {
  expect_deadlock(2, "probes", line(0, "probe from 1, any tag, on world"), line(1, "probe from 0, any tag, on world"));
}

TEST(RankProgram, DISABLED_bcast_and_recv) {
  const mpi::environment env;
  const auto world = mpi::world();
  int value = 0;
  if (world.rank() == 0) {
    static_cast<void>(world.bcast(value, 0));
  } else {
    static_cast<void>(world.recv<int>(0));
  }
}
TEST(RankWatch, ACollectiveAndAReceive) {
  expect_deadlock(2, "bcast_and_recv", line(0, "bcast on world"), line(1, "recv from 0"));
}

TEST(RankProgram, DISABLED_irecv) {
  const mpi::environment env;
  const auto world = mpi::world();
  int value = 0;
  auto begun = world.irecv_into(value, 1 - world.rank(), 5);
  begun.wait();
}
TEST(RankWatch, RequestsThatAreWaitedFor) {
  expect_deadlock(2, "irecv", line(0, "wait for irecv from 1, tag 5, on world, begun at "),
                  line(1, "wait for irecv from 0, tag 5, on world, begun at "));
}

TEST(RankProgram, DISABLED_wait_all) {
  const mpi::environment env;
  const auto world = mpi::world();
  int left = 0, right = 0;
  std::vector<mpi::request> both;
  both.push_back(world.irecv_into(left, 1 - world.rank(), 1));
  both.push_back(world.irecv_into(right, 1 - world.rank(), 2));
  world.send(1, 1 - world.rank(), 1);
  mpi::wait_all(both);
}
TEST(RankWatch, OneOfSeveralRequests) {
  expect_deadlock(2, "wait_all", line(0, "wait_all for irecv from 1, tag 1"), HasSubstr("; and for irecv"));
}

TEST(RankProgram, DISABLED_split) {
  const mpi::environment env;
  const auto world = mpi::world();
  const auto pair = world.split(world.rank() % 2).value();
  static_cast<void>(pair.recv<int>(1 - pair.rank(), 4));
}
TEST(RankWatch, PartsOfTheWorld) {
  expect_deadlock(4, "split", HasSubstr("wait for each other"), HasSubstr(" of world), tag 4, on world.split("));
}

TEST(RankProgram, DISABLED_two_of_four) {
  const mpi::environment env;
  const auto world = mpi::world();
  if (world.rank() < 2) static_cast<void>(world.recv<int>(1 - world.rank()));
  world.barrier();
}
TEST(RankWatch, OnlyTheKnotIsNamed) {
  expect_deadlock(4, "two_of_four", HasSubstr("ranks 0 and 1 wait for each other"), line(0, "recv from 1"),
                  Not(line(2, "barrier")));
}

TEST(RankProgram, DISABLED_threads) {
  const mpi::environment env;
  const auto world = mpi::world();
  std::thread other([&] { static_cast<void>(world.recv<int>(1 - world.rank(), 1)); });
  static_cast<void>(world.recv<int>(1 - world.rank(), 2));
  other.join();
}
TEST(RankWatch, TwoThreadsOfEachRank) {
  expect_deadlock(2, "threads", line(0, "recv from 1, tag 1"), line(0, "recv from 1, tag 2"),
                  line(1, "recv from 0, tag 1"), line(1, "recv from 0, tag 2"));
}

TEST(RankProgram, DISABLED_pool) {
  const mpi::environment env;
  const auto world = mpi::world();
  tutti::thread_pool pool({.threads = 2});
  pool.submit([] {}).get();
  pool.submit([&] { static_cast<void>(world.recv<int>(1 - world.rank(), 1)); }).get();
}
TEST(RankWatch, ATaskOfAPoolBesideIdleWorkers) {
  expect_deadlock(2, "pool", line(0, "recv from 1, tag 1"), line(1, "recv from 0, tag 1"));
}

tutti::task<> receive_in_a_coroutine(mpi::communicator world) {
  int value = 0;
  auto begun = world.irecv_into(value, 1 - world.rank(), 6);
  co_await begun;
}
TEST(RankProgram, DISABLED_coroutines) {
  const mpi::environment env;
  mpi::run(receive_in_a_coroutine(mpi::world()));
}
TEST(RankWatch, CoroutinesThatAwait) {
  expect_deadlock(2, "coroutines", line(0, "co_await for irecv from 1, tag 6"),
                  line(1, "co_await for irecv from 0, tag 6"));
}

TEST(RankProgram, DISABLED_coroutines_in_a_pool) {
  const mpi::environment env;
  tutti::thread_pool pool({.threads = 2});
  pool.submit(receive_in_a_coroutine(mpi::world())).get();
}
TEST(RankWatch, CoroutinesInAPool) {
  expect_deadlock(2, "coroutines_in_a_pool", line(0, "co_await for irecv from 1, tag 6"));
}

TEST(RankProgram, DISABLED_funneled) {
  const mpi::environment env({.threads = mpi::thread_level::funneled});
  std::promise<void> over;
  std::thread busy([done = over.get_future()] {
    while (done.wait_for(1ms) != std::future_status::ready) {
    }
  });
  static_cast<void>(mpi::world().recv<int>(1 - mpi::world().rank()));
  over.set_value();
  busy.join();
}
TEST(RankWatch, ThreadsThatMayNotCallMpiDoNotMatter) { expect_deadlock(2, "funneled", line(0, "recv from 1")); }

TEST(RankProgram, DISABLED_blocking_and_not) {
  const mpi::environment env;
  const auto world = mpi::world();
  if (world.rank() == 0) {
    world.barrier();
  } else {
    world.ibarrier().wait();
  }
}
TEST(RankWatch, CollectivesThatBlockAndThatDoNot) {
  expect_deadlock(2, "blocking_and_not", line(0, "barrier on world"), line(1, "wait for ibarrier on world"));
}

// ---------------------------------------------------------------- collectives that are not the same

template <class F>
void expect_mismatch(F f, const std::string& mine, const std::string& others) {
  const mpi::environment env;
  try {
    f(mpi::world());
    ADD_FAILURE() << "no exception";
  } catch (const tutti::deadlock& refused) {
    const std::string text = refused.what();
    const auto expected = mpi::world().rank() == 0 ? mine : others;
    EXPECT_THAT(text, HasSubstr("mpi::" + expected + " on rank "));
    EXPECT_THAT(text, HasSubstr("the ranks do not make the same collective call:\n  rank 0: " + mine));
    EXPECT_THAT(text, HasSubstr("\n  ranks 1 and 2: " + others));
    EXPECT_THAT(text, HasSubstr("rank_watch_test.cpp:"));
  }
}

TEST(RankProgram, DISABLED_kinds) {
  expect_mismatch(
      [](const mpi::communicator& world) {
        if (world.rank() == 0) {
          world.barrier();
        } else {
          static_cast<void>(world.allreduce(1, mpi::sum));
        }
      },
      "barrier", "allreduce");
}
TEST(RankWatch, CollectivesOfDifferentKinds) { expect_silent(3, "kinds"); }

TEST(RankProgram, DISABLED_details) {
  const mpi::environment env;
  const auto world = mpi::world();
  const bool first = world.rank() == 0;
  std::vector<int> two(2), three(3);
  EXPECT_THROW(static_cast<void>(world.bcast(1, first ? 0 : 1)), tutti::deadlock);
  EXPECT_THROW(static_cast<void>(world.reduce(1, mpi::sum, first ? 0 : 1)), tutti::deadlock);
  EXPECT_THROW(static_cast<void>(first ? world.allreduce(1, mpi::sum) : world.allreduce(1, mpi::max)), tutti::deadlock);
  EXPECT_THROW(
      first ? static_cast<void>(world.allreduce(1, mpi::sum)) : static_cast<void>(world.allreduce(1.5, mpi::sum)),
      tutti::deadlock);
  EXPECT_THROW(static_cast<void>(world.allreduce(first ? two : three, mpi::sum)), tutti::deadlock);
  EXPECT_THROW(first ? static_cast<void>(world.dup()) : static_cast<void>(world.split(0)), tutti::deadlock);
  EXPECT_EQ(world.allreduce(1, mpi::sum), world.size());  // they can go on together
}
TEST(RankWatch, CollectivesWithDifferentRootsReductionsTypesAndCounts) { expect_silent(3, "details"); }

}  // namespace
