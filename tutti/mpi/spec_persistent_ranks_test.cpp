// Persistent requests: made once, started again and again.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <stdexcept>
#include <tests/support/ranks.hpp>
#include <utility>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::before_of;
using tutti_test::next_of;

TEST(SpecPersistent, StartsAgainAndAgain) {
  const communicator all = mpi::world().dup("persistent");
  std::vector<int> out(100);
  std::vector<int> in(100);
  mpi::persistent_request send = all.send_init(out, next_of(all), 5);
  mpi::persistent_request receive = all.recv_init(in, before_of(all), 5);
  for (int round = 0; round < 200; ++round) {
    std::iota(out.begin(), out.end(), round * 1000 + all.rank());
    receive.start();
    send.start();
    const mpi::status came = receive.wait();
    EXPECT_EQ(came.source, before_of(all));
    EXPECT_EQ(came.tag, 5);
    EXPECT_EQ(came.count<int>(), 100U);
    EXPECT_EQ(in[99], round * 1000 + before_of(all) + 99);
    send.wait();
  }
}

TEST(SpecPersistent, WithoutStartThereIsNothingToWaitFor) {
  const communicator all = mpi::world().dup("not started");
  int value = 0;
  mpi::persistent_request receive = all.recv_init(value, before_of(all));
  receive.wait();
  mpi::persistent_request none;
  none.wait();
}

TEST(SpecPersistent, StartingTwiceIsRefused) {
  const communicator all = mpi::world().dup("twice");
  int in = 0;
  mpi::persistent_request receive = all.recv_init(in, before_of(all));
  receive.start();
  EXPECT_THROW(receive.start(), std::logic_error);
  all.send(3, next_of(all));
  receive.wait();
  EXPECT_EQ(in, 3);
}

TEST(SpecPersistent, TestAndWildcardsAndPlainValues) {
  const communicator all = mpi::world().dup("persistent test");
  int out = 0;
  int in = 0;
  auto send = all.send_init(out, next_of(all), 8);
  auto receive = all.recv_init(in);
  for (int round = 0; round < 20; ++round) {
    receive.start();
    EXPECT_FALSE(receive.test());
    all.barrier();
    out = round;
    send.start();
    std::optional<mpi::status> came;
    while (!came) came = receive.test();
    EXPECT_EQ(came->source, before_of(all));
    EXPECT_EQ(came->tag, 8);
    EXPECT_EQ(in, round);
    send.wait();
    all.barrier();
  }
}

TEST(SpecPersistent, EmptyMessagesAndNoRank) {
  const communicator all = mpi::world().dup("persistent empty");
  const std::vector<int> nothing;
  std::vector<int> in(1, -1);
  auto send = all.send_init(nothing, next_of(all));
  auto receive = all.recv_init(in, before_of(all));
  auto nowhere = all.send_init(nothing, mpi::no_rank);
  auto from_nowhere = all.recv_init(in, mpi::no_rank);
  for (int round = 0; round < 3; ++round) {
    receive.start();
    send.start();
    nowhere.start();
    from_nowhere.start();
    EXPECT_EQ(receive.wait().bytes, 0U);
    send.wait();
    nowhere.wait();
    EXPECT_EQ(from_nowhere.wait().source, mpi::no_rank);
    EXPECT_EQ(in[0], -1);
  }
}

TEST(SpecPersistent, CanBeMovedAndDestroyedWhileUnderWay) {
  const communicator all = mpi::world().dup("persistent moved");
  int in = -1;
  {
    auto receive = all.recv_init(in, before_of(all), 1);
    receive.start();
    auto moved = std::move(receive);
    EXPECT_THROW(moved.start(), std::logic_error);
  }  // given up
  all.barrier();
  all.send(5, next_of(all), 1);
  EXPECT_EQ(all.recv<int>(before_of(all), 1), 5);
  EXPECT_EQ(in, -1);
  mpi::persistent_request assigned;
  assigned = all.recv_init(in, before_of(all), 2);
  assigned.start();
  all.send(6, next_of(all), 2);
  assigned.wait();
  EXPECT_EQ(in, 6);
}

TEST(SpecPersistent, ATruncatedMessageIsAnErrorAndItsEnd) {
  if (mpi::world().size() < 2) GTEST_SKIP() << "Open MPI 4.1 says nothing of a message to oneself that is too long";
  const communicator all = mpi::world().dup("persistent truncated");
  std::vector<int> in(2);
  auto receive = all.recv_init(in, before_of(all), 1);
  receive.start();
  all.barrier();
  all.send(std::vector<int>{1, 2, 3}, next_of(all), 1);
  EXPECT_THROW(receive.wait(), mpi::error);
  try {
    receive.start();                   // with an MPI that lets it go on
  } catch (const std::logic_error&) {  // Open MPI's is gone
    receive = all.recv_init(in, before_of(all), 1);
    receive.start();
  }
  all.send(std::vector<int>{4, 5}, next_of(all), 1);
  EXPECT_EQ(receive.wait().count<int>(), 2U);
  EXPECT_EQ(in, (std::vector<int>{4, 5}));
}

}  // namespace
