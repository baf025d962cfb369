// Communicators: of the same ranks, of some of them, of those on one machine, of one; and of those.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <tests/support/ranks.hpp>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::before_of;
using tutti_test::many;
using tutti_test::next_of;

TEST(SpecCommunicators, WorldAndSelf) {
  const communicator all = mpi::world();
  EXPECT_EQ(all.name(), "world");
  EXPECT_GE(all.rank(), 0);
  EXPECT_LT(all.rank(), all.size());
  EXPECT_EQ(all, mpi::world());
  const communicator alone = mpi::self();
  EXPECT_EQ(alone.rank(), 0);
  EXPECT_EQ(alone.size(), 1);
  EXPECT_NE(alone, all);
  EXPECT_EQ(alone, mpi::self());
  EXPECT_EQ(alone.allreduce(7, mpi::sum), 7);
  EXPECT_EQ(alone.allgather(std::string("me")), std::vector<std::string>{"me"});
  EXPECT_EQ(alone.sendrecv(std::map<int, int>{{1, 1}}, 0, 0).size(), 1U);
  EXPECT_TRUE(mpi::environment::is_on());
  EXPECT_EQ(mpi::environment::threads(), mpi::thread_level::multiple);
  EXPECT_FALSE(mpi::processor_name().empty());
  const double before = mpi::wtime();
  EXPECT_GE(mpi::wtime(), before);
}

TEST(SpecCommunicators, CopiesAreHandlesToTheSameOne) {
  const communicator all = mpi::world().dup("copies");
  communicator copy = all;
  EXPECT_EQ(copy, all);
  EXPECT_EQ(copy.name(), all.name());
  mpi::request sent = copy.isend(std::vector<int>{1}, next_of(all), 1);
  EXPECT_EQ(all.recv<std::vector<int>>(before_of(all), 1), std::vector<int>{1});
  sent.wait();
  copy = mpi::world();
  EXPECT_NE(copy, all);
  EXPECT_EQ(copy, mpi::world());
}

TEST(SpecCommunicators, DupSeparatesMessages) {
  const communicator all = mpi::world().dup("first");
  const communicator other = all.dup("second");
  EXPECT_NE(all, other);
  EXPECT_EQ(other.rank(), all.rank());
  EXPECT_EQ(other.size(), all.size());
  std::vector<mpi::request> sent;
  const int one = 1;
  const int two = 2;
  sent.push_back(all.isend(one, next_of(all), 5));
  sent.push_back(other.isend(two, next_of(all), 5));
  EXPECT_EQ(other.recv<int>(), 2);
  EXPECT_FALSE(other.iprobe());
  EXPECT_EQ(all.recv<int>(), 1);
  mpi::wait_all(sent);
  // Objects too.
  mpi::request object = all.isend(std::map<int, int>{{1, 1}}, next_of(all));
  EXPECT_FALSE(other.iprobe());
  EXPECT_EQ((all.recv<std::map<int, int>>().at(1)), 1);
  object.wait();
}

TEST(SpecCommunicators, NamesAreSaid) {
  EXPECT_NE(mpi::world().dup("my own name").name().find("my own name"), std::string::npos);
  const communicator unnamed = mpi::world().dup();
  EXPECT_FALSE(unnamed.name().empty());
  const auto part = mpi::world().split(1);
  ASSERT_TRUE(part);
  EXPECT_EQ(part->name(), "world.split(1)");
}

TEST(SpecCommunicators, SplitByColorAndKey) {
  const communicator all = mpi::world();
  const int n = all.size();
  const auto part = all.split(all.rank() % 2, -all.rank());
  ASSERT_TRUE(part);
  std::vector<int> members;
  for (int r = n - 1; r >= 0; --r) {
    if (r % 2 == all.rank() % 2) members.push_back(r);
  }
  EXPECT_EQ(part->size(), static_cast<int>(members.size()));
  EXPECT_EQ(part->allgather(all.rank()), members);
  EXPECT_EQ(members[many(part->rank())], all.rank());
  // Equal keys: the order that there was.
  const auto same_keys = all.split(0);
  ASSERT_TRUE(same_keys);
  EXPECT_EQ(same_keys->rank(), all.rank());
  EXPECT_EQ(part->allreduce(1, mpi::sum), part->size());
}

TEST(SpecCommunicators, WithoutAColorThereIsNone) {
  const communicator all = mpi::world();
  const auto part = all.split(all.rank() == 0 ? std::nullopt : std::optional<int>(3));
  EXPECT_EQ(part.has_value(), all.rank() != 0);
  if (part) {
    EXPECT_EQ(part->size(), all.size() - 1);
    EXPECT_EQ(part->rank(), all.rank() - 1);
    EXPECT_EQ(part->allreduce(std::string("x"), mpi::sum).size(), many(all.size() - 1));
  }
  EXPECT_FALSE(all.split(std::nullopt));
}

TEST(SpecCommunicators, ANegativeColorIsRefusedOrNone) {
  // MPI has no negative colors: the error names it, rather than that the rank is silently in none.
  const communicator all = mpi::world();
  const std::string text = tutti_test::refusal_of([&] { static_cast<void>(all.split(-5)); });
  EXPECT_TRUE(tutti_test::says(text, "split", "-5")) << text;
}

TEST(SpecCommunicators, SplitShared) {
  const communicator all = mpi::world();
  const communicator machine = all.split_shared();
  EXPECT_EQ(machine.size(), all.size());  // the tests run on one
  EXPECT_EQ(machine.rank(), all.rank());
  EXPECT_EQ(machine.allreduce(1, mpi::sum), all.size());
}

TEST(SpecCommunicators, GroupOfRanksInThisOrder) {
  const communicator all = mpi::world();
  const int n = all.size();
  std::vector<int> backwards(many(n));
  std::iota(backwards.rbegin(), backwards.rend(), 0);
  const auto reversed = all.group(backwards);
  ASSERT_TRUE(reversed);
  EXPECT_EQ(reversed->rank(), n - 1 - all.rank());
  EXPECT_EQ(reversed->allgather(all.rank()), backwards);
  const std::vector<int> last{n - 1};
  const auto only_last = all.group(last);
  EXPECT_EQ(only_last.has_value(), all.rank() == n - 1);
  if (only_last) {
    EXPECT_EQ(only_last->size(), 1);
  }
  EXPECT_FALSE(all.group(std::vector<int>()));
}

TEST(SpecCommunicators, GroupsThatCannotBe) {
  const communicator all = mpi::world();
  const std::vector<int> beyond{0, all.size()};
  const std::vector<int> negative{-1};
  const std::vector<int> twice{0, 0};
  for (const auto* ranks : {&beyond, &negative, &twice}) {
    const std::string text = tutti_test::refusal_of([&] { static_cast<void>(all.group(*ranks)); });
    EXPECT_TRUE(tutti_test::says(text, "group", "world", std::to_string(ranks->back()))) << text;
  }
  EXPECT_EQ(all.allreduce(1, mpi::sum), all.size());  // nobody was left behind
}

TEST(SpecCommunicators, Nested) {
  const communicator all = mpi::world().dup("outer");
  const auto half = all.split(all.rank() / ((all.size() + 1) / 2));
  ASSERT_TRUE(half);
  const communicator twin = half->dup();
  const auto quarter = twin.split(twin.rank() % 2);
  ASSERT_TRUE(quarter);
  const communicator machine = quarter->split_shared();
  EXPECT_EQ(machine.size(), quarter->size());
  const auto alone = machine.group(std::vector<int>{machine.rank()});
  static_cast<void>(alone);
  EXPECT_EQ(all.allreduce(half->rank() == 0 ? half->size() : 0, mpi::sum), all.size());
  EXPECT_EQ(half->allreduce(quarter->rank() == 0 ? quarter->size() : 0, mpi::sum), half->size());
}

TEST(SpecCommunicators, ErrorsNameTheCommunicator) {
  const communicator all = mpi::world().dup("the named one");
  const std::string text = tutti_test::refusal_of([&] { all.send(1, all.size() + 3); });
  EXPECT_TRUE(tutti_test::says(text, "send", all.name(), std::to_string(all.size() + 3),
                               "rank " + std::to_string(all.rank()), "spec_communicators_ranks_test.cpp"))
      << text;
  const auto part = all.split(0);
  ASSERT_TRUE(part);
  const std::string of_part = tutti_test::refusal_of([&] { static_cast<void>(part->bcast(1, -1)); });
  EXPECT_TRUE(tutti_test::says(of_part, "bcast", part->name())) << of_part;
}

// As many as a program of some length makes: they are freed with their last handles.
TEST(SpecCommunicators, ManyOneAfterTheOther) {
  const communicator all = mpi::world();
  for (int i = 0; i < 200; ++i) {
    const communicator one = all.dup();
    EXPECT_EQ(one.allreduce(std::string("x"), mpi::sum).size(), many(all.size()));
    const auto part = one.split(one.rank() % 2);
    EXPECT_EQ(part->allreduce(1, mpi::sum), part->size());
  }
}

TEST(SpecCommunicators, ManyAtOnce) {
  const communicator all = mpi::world();
  std::vector<communicator> several;
  for (int i = 0; i < 100; ++i) several.push_back(all.dup(std::to_string(i)));
  std::vector<mpi::request> sent;
  std::vector<int> out(100);
  std::iota(out.begin(), out.end(), 0);
  for (int i = 0; i < 100; ++i) sent.push_back(several[many(i)].isend(out[many(i)], next_of(all)));
  for (int i = 99; i >= 0; --i) EXPECT_EQ(several[many(i)].recv<int>(), i);
  mpi::wait_all(sent);
}

}  // namespace
