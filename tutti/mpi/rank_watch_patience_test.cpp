// The watch over ranks, from outside: programs that are slow but right end well, and nothing is said of them but what
// they are late for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <tests/support/rank_programs.hpp>
#include <thread>
#include <tutti/core/thread_pool.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/native.hpp>
#include <tutti/mpi/op.hpp>
#include <tutti/mpi/run.hpp>
#include <tutti/task/sleep.hpp>
#include <tutti/task/task.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace mpi = tutti::mpi;
using testing::AllOf;
using testing::HasSubstr;
using tutti_test::expect_silent;
using tutti_test::line;
using tutti_test::run_ranks;

TEST(RankProgram, DISABLED_late_rank) {
  const mpi::environment env;
  const auto world = mpi::world();
  if (world.rank() == 0) std::this_thread::sleep_for(1500ms);
  world.barrier();
  if (world.rank() == 0) {
    const auto end = std::chrono::steady_clock::now() + 500ms;
    while (std::chrono::steady_clock::now() < end) {
    }
    for (int to = 1; to < world.size(); ++to) world.ssend(to, to);
  } else {
    EXPECT_EQ(world.recv<int>(), world.rank());
  }
}
TEST(RankWatchPatience, WaitsForWhoComputes) { expect_silent(3, "late_rank"); }

TEST(RankProgram, DISABLED_late_collective) {
  const mpi::environment env;
  const auto world = mpi::world();
  if (world.rank() == 1) std::this_thread::sleep_for(1500ms);
  world.barrier();
}
TEST(RankWatchPatience, TellsWhoIsLateForACollective) {
  const auto end = run_ranks(3, "late_collective", {"TUTTI_WATCH_COLLECTIVES=0.5"});
  EXPECT_EQ(end.code, 0) << end.text;
  EXPECT_THAT(end.text,
              AllOf(HasSubstr("tutti: rank 1 has not come to a collective call for 0.5 s"),
                    line(0, "barrier on world at "), line(2, "barrier on world at "), HasSubstr("  rank 1 runs\n")));
  EXPECT_EQ(end.text.find("has not come"), end.text.rfind("has not come")) << end.text;
}

TEST(RankProgram, DISABLED_late_thread) {
  const mpi::environment env;
  const auto world = mpi::world();
  const int other = 1 - world.rank();
  std::thread late([&] {
    std::this_thread::sleep_for(1s);
    world.send(5, other, 9);
  });
  EXPECT_EQ(world.recv<int>(other, 9), 5);
  late.join();
}
TEST(RankWatchPatience, AThreadThatSleepsIsNotBlocked) { expect_silent(2, "late_thread"); }

TEST(RankProgram, DISABLED_late_timer) {
  const mpi::environment env;
  const auto world = mpi::world();
  const int other = 1 - world.rank();
  const auto later = tutti::call_later(1s, [&] { world.send(5, other, 9); });
  EXPECT_EQ(world.recv<int>(other, 9), 5);
  world.barrier();
}
TEST(RankWatchPatience, ATimerIsNotBlocked) { expect_silent(2, "late_timer"); }

TEST(RankProgram, DISABLED_late_task) {
  const mpi::environment env;
  const auto world = mpi::world();
  const int other = 1 - world.rank();
  tutti::thread_pool pool({.threads = 2});
  auto sent = pool.submit([&] {
    std::this_thread::sleep_for(700ms);
    world.ssend(5, other, 9);
  });
  EXPECT_EQ(world.recv<int>(other, 9), 5);
  sent.get();
}
TEST(RankWatchPatience, ATaskOfAPoolThatSendsLater) { expect_silent(2, "late_task"); }

TEST(RankProgram, DISABLED_long_transfers) {
  const mpi::environment env;
  const auto world = mpi::world();
  const int other = 1 - world.rank();
  const std::vector<char> much(std::size_t{256} << 20, 'y');
  std::vector<char> came(much.size());
  for (int i = 0; i < 4; ++i) {
    world.sendrecv_into(much, other, came, other);
    if (world.rank() == 0) world.send(much, 1);
    if (world.rank() == 1) {
      EXPECT_EQ(world.recv<std::vector<char>>(0).size(), much.size());
    }
  }
  EXPECT_EQ(came.back(), 'y');
}
TEST(RankWatchPatience, LongTransfers) { expect_silent(2, "long_transfers"); }

TEST(RankProgram, DISABLED_pending) {
  const mpi::environment env;
  const auto world = mpi::world();
  const int other = 1 - world.rank();
  const std::vector<char> large(std::size_t{32} << 20, 'x');
  std::vector<char> came(large.size());
  auto in = world.irecv_into(came, other, 1);
  auto out = world.isend(large, other, 1);
  if (world.rank() == 0) std::this_thread::sleep_for(1s);
  in.wait();
  out.wait();
  auto dropped = world.irecv_into(came, other, 77);
}
TEST(RankWatchPatience, RequestsPendingWhileOneComputes) { expect_silent(2, "pending"); }

TEST(RankProgram, DISABLED_leaves_early) {
  const mpi::environment env;
  if (mpi::world().rank() == 0) std::this_thread::sleep_for(1s);
}
TEST(RankWatchPatience, RanksThatEndAtDifferentTimes) { expect_silent(4, "leaves_early"); }

tutti::task<> talk_in_a_coroutine(mpi::communicator world) {
  const int other = 1 - world.rank();
  for (int i = 0; i < 200; ++i) {
    int came = 0;
    auto in = world.irecv_into(came, other, i);
    auto out = world.isend(i, other, i);
    co_await in;
    co_await out;
    if (i == 100 && world.rank() == 0) co_await tutti::sleep_for(600ms);
    EXPECT_EQ(came, i);
  }
}
TEST(RankProgram, DISABLED_coroutines_that_talk) {
  const mpi::environment env;
  mpi::run(talk_in_a_coroutine(mpi::world()));
  tutti::thread_pool pool({.threads = 1});
  pool.submit(talk_in_a_coroutine(mpi::world())).get();
}
TEST(RankWatchPatience, CoroutinesThatWaitForEachOtherInTurn) { expect_silent(2, "coroutines_that_talk"); }

// A thread that sleeps inside MPI is woken by whichever thread receives its message: here by one that looks blocked.
TEST(RankProgram, DISABLED_c_api) {
  const mpi::environment env;
  const auto world = mpi::world();
  MPI_Comm own = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &own);
  int value = 3;
  if (world.rank() == 0) {
    std::thread other([&] {
      MPI_Recv(&value, 1, MPI_INT, 2, 0, own, MPI_STATUS_IGNORE);
      world.send(value, 1, 5);
    });
    EXPECT_EQ(world.recv<int>(1, 6), 3);
    other.join();
  } else if (world.rank() == 1) {
    world.send(world.recv<int>(0, 5), 0, 6);
  } else {
    std::this_thread::sleep_for(1s);
    MPI_Send(&value, 1, MPI_INT, 0, 0, own);
  }
  MPI_Comm_free(&own);
}
TEST(RankWatchPatience, AThreadInTheCApiIsNotBlocked) { expect_silent(3, "c_api"); }

TEST(RankProgram, DISABLED_native_messages) {
  const mpi::environment env;
  const auto world = mpi::world();
  const auto own = mpi::native<MPI_Comm>(world);
  int value = 3;
  if (world.rank() == 0) {
    MPI_Recv(&value, 1, MPI_INT, 1, 1, own, MPI_STATUS_IGNORE);
    static_cast<void>(world.recv<int>(1, 2));
  } else {
    MPI_Send(&value, 1, MPI_INT, 0, 1, own);
    MPI_Send(&value, 1, MPI_INT, 0, 2, own);
  }
}
TEST(RankWatchPatience, MessagesOfTheCApiInOurCommunicator) { expect_silent(2, "native_messages"); }

// Every rank knows from the seed what all will do: messages between random pairs, blocking and not, and collectives,
// with pauses.
TEST(RankProgram, DISABLED_random) {
  const mpi::environment env;
  const auto world = mpi::world();
  const char* const text = std::getenv("TUTTI_TEST_SEED");
  std::mt19937 random(text == nullptr ? 1U : static_cast<unsigned>(std::stoul(text)));
  const auto size = static_cast<unsigned>(world.size());
  for (int round = 0; round < 300; ++round) {
    const auto from = static_cast<int>(random() % size);
    const auto to = static_cast<int>((static_cast<unsigned>(from) + 1 + random() % (size - 1)) % size);
    const auto length = std::size_t{1} << random() % 20;
    const int tag = static_cast<int>(random() % 3);
    const auto kind = random() % 8;
    const bool pauses = random() % 30 == 0;
    const auto sleeper = static_cast<int>(random() % size);
    if (pauses && world.rank() == sleeper) std::this_thread::sleep_for(150ms);
    const std::vector<char> out(length, static_cast<char>(round));
    if (kind == 0) {
      EXPECT_EQ(world.allreduce(1, mpi::sum), world.size());
    } else if (kind == 1) {
      EXPECT_EQ(world.bcast(world.rank() == from ? round : 0, from), round);
    } else if (world.rank() == from) {
      if (kind < 4) world.send(out, to, tag);
      if (kind == 4) world.ssend(out, to, tag);
      if (kind > 4) world.isend(out, to, tag).wait();
    } else if (world.rank() == to) {
      if (kind % 2 == 0) {
        EXPECT_EQ(world.recv<std::vector<char>>(from, tag), out);
      } else {
        std::vector<char> in(length);
        world.irecv_into(in, from, kind == 3 ? mpi::any_tag : tag).wait();
        EXPECT_EQ(in, out);
      }
    }
  }
}
TEST(RankWatchPatience, RandomProgramsThatAreRight) {
  const auto seed = static_cast<unsigned>(std::random_device()());
  for (unsigned i = 0; i < 3; ++i) {
    SCOPED_TRACE("seed " + std::to_string(seed + i));
    expect_silent(static_cast<int>(2 + i * 3), "random", {"TUTTI_TEST_SEED=" + std::to_string(seed + i)});
  }
}

TEST(RankWatchPatience, RefusesALimitThatIsNoNumber) {
  const auto end = run_ranks(1, "leaves_early", {"TUTTI_WATCH_COLLECTIVES=soon"});
  EXPECT_NE(end.code, 0);
  EXPECT_THAT(end.text, HasSubstr("TUTTI_WATCH_COLLECTIVES: \"soon\" is not a positive number of seconds"));
}

}  // namespace
