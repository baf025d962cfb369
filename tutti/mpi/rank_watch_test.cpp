// The watch over ranks, from outside: programs of several ranks that hang are ended with a report that names every
// call, and those that are only slow are not. Each program is a disabled test of this one, run by mpirun.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <random>
#include <string>
#include <tests/support/spawned.hpp>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/native.hpp>
#include <tutti/mpi/op.hpp>
#include <tutti/mpi/run.hpp>
#include <tutti/task/task.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace mpi = tutti::mpi;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct ended {
  int code;
  std::string text;
};

// RankProgram.DISABLED_`name` on so many ranks.
ended run_ranks(int ranks, const std::string& name, const std::vector<std::string>& more = {}) {
  std::vector<std::string> command{"env",
                                   "TUTTI_WATCH=deadlock",
                                   "OMPI_ALLOW_RUN_AS_ROOT=1",
                                   "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                                   "OMPI_MCA_rmaps_base_oversubscribe=1",
                                   "OMPI_MCA_pml=ob1",
                                   "OMPI_MCA_btl=self,vader",
                                   "OMPI_MCA_mpi_yield_when_idle=1",
                                   "TSAN_OPTIONS=ignore_noninstrumented_modules=1",
                                   "ASAN_OPTIONS=detect_leaks=0"};  // of MPI's libraries; of ours: mpi.ranks_watched
  command.insert(command.end(), more.begin(), more.end());
  for (const char* word : {"timeout", "-k", "5", "100", TUTTI_MPIEXEC, "-n"}) command.emplace_back(word);
  command.push_back(std::to_string(ranks));
  command.push_back(std::filesystem::read_symlink("/proc/self/exe").string());
  command.push_back("--gtest_filter=RankProgram.DISABLED_" + name);
  command.emplace_back("--gtest_also_run_disabled_tests");
  command.emplace_back("--gtest_brief=1");
  tutti_test::spawned program(command);
  program.to().reset();
  std::string text;
  char buffer[4096];
  for (::ssize_t got = 0; (got = ::read(program.from().get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  const int code = program.join();
  return {code, text};
}

// A line of a report about this rank, with the place in this file.
testing::Matcher<std::string> line(int rank, const std::string& call) {
  return HasSubstr("  rank " + std::to_string(rank) + ": " + call);
}

// `parts`: of the report.
template <class... Parts>
void expect_deadlock(int ranks, const std::string& name, const Parts&... parts) {
  const ended end = run_ranks(ranks, name);
  EXPECT_EQ(end.code, mpi::deadlock_exit_code) << end.text;
  EXPECT_THAT(end.text,
              AllOf(HasSubstr("tutti: deadlock between ranks\n"), HasSubstr("rank_watch_test.cpp:"), parts...));
}

void expect_silent(int ranks, const std::string& name, const std::vector<std::string>& more = {}) {
  const ended end = run_ranks(ranks, name, more);
  EXPECT_EQ(end.code, 0) << end.text;
  EXPECT_THAT(end.text, Not(HasSubstr("tutti:")));
}

const std::vector<char> large(std::size_t{32} << 20, 'x');  // beyond what any MPI buffers

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

// ---------------------------------------------------------------- what only waits

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
TEST(RankWatch, WaitsForWhoComputes) { expect_silent(3, "late_rank"); }

TEST(RankProgram, DISABLED_late_collective) {
  const mpi::environment env;
  const auto world = mpi::world();
  if (world.rank() == 1) std::this_thread::sleep_for(1500ms);
  world.barrier();
}
TEST(RankWatch, TellsWhoIsLateForACollective) {
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
TEST(RankWatch, AThreadThatSleepsIsNotBlocked) { expect_silent(2, "late_thread"); }

TEST(RankProgram, DISABLED_late_timer) {
  const mpi::environment env;
  const auto world = mpi::world();
  const int other = 1 - world.rank();
  const auto later = tutti::call_later(1s, [&] { world.send(5, other, 9); });
  EXPECT_EQ(world.recv<int>(other, 9), 5);
  world.barrier();
}
TEST(RankWatch, ATimerIsNotBlocked) { expect_silent(2, "late_timer"); }

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
TEST(RankWatch, ATaskOfAPoolThatSendsLater) { expect_silent(2, "late_task"); }

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
TEST(RankWatch, LongTransfers) { expect_silent(2, "long_transfers"); }

TEST(RankProgram, DISABLED_pending) {
  const mpi::environment env;
  const auto world = mpi::world();
  const int other = 1 - world.rank();
  std::vector<char> came(large.size());
  auto in = world.irecv_into(came, other, 1);
  auto out = world.isend(large, other, 1);
  if (world.rank() == 0) std::this_thread::sleep_for(1s);
  in.wait();
  out.wait();
  auto dropped = world.irecv_into(came, other, 77);
}
TEST(RankWatch, RequestsPendingWhileOneComputes) { expect_silent(2, "pending"); }

TEST(RankProgram, DISABLED_leaves_early) {
  const mpi::environment env;
  if (mpi::world().rank() == 0) std::this_thread::sleep_for(1s);
}
TEST(RankWatch, RanksThatEndAtDifferentTimes) { expect_silent(4, "leaves_early"); }

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
TEST(RankWatch, CoroutinesThatWaitForEachOtherInTurn) { expect_silent(2, "coroutines_that_talk"); }

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
TEST(RankWatch, AThreadInTheCApiIsNotBlocked) { expect_silent(3, "c_api"); }

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
TEST(RankWatch, MessagesOfTheCApiInOurCommunicator) { expect_silent(2, "native_messages"); }

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
TEST(RankWatch, RandomProgramsThatAreRight) {
  const auto seed = static_cast<unsigned>(std::random_device()());
  for (unsigned i = 0; i < 3; ++i) {
    SCOPED_TRACE("seed " + std::to_string(seed + i));
    expect_silent(static_cast<int>(2 + i * 3), "random", {"TUTTI_TEST_SEED=" + std::to_string(seed + i)});
  }
}

TEST(RankWatch, RefusesALimitThatIsNoNumber) {
  const auto end = run_ranks(1, "leaves_early", {"TUTTI_WATCH_COLLECTIVES=soon"});
  EXPECT_NE(end.code, 0);
  EXPECT_THAT(end.text, HasSubstr("TUTTI_WATCH_COLLECTIVES: \"soon\" is not a positive number of seconds"));
}

}  // namespace
