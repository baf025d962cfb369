#include <tutti/mpi/shared_window.hpp>

#include <tutti/mpi/mpi.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

namespace {

using namespace tutti::mpi;

TEST(SharedWindow, OthersPartsAreMemory) {
  const communicator machine = world().split_shared();
  shared_window<int> table(machine, 100);
  for (int& element : table.local()) element = machine.rank();
  table.sync();
  for (int r = 0; r < machine.size(); ++r) EXPECT_THAT(table.of(r), testing::Each(r));
  EXPECT_EQ(table.all().size(), 100U * static_cast<unsigned>(machine.size()));
}

TEST(SharedWindow, PartsLieBehindEachOther) {
  const communicator machine = world().split_shared();
  shared_window<int> parts(machine, static_cast<std::size_t>(machine.rank() % 3));
  EXPECT_THAT(parts.local(), testing::Each(0));
  parts.sync();
  // Rank 0 fills all, also what lies with others.
  if (machine.rank() == 0) std::iota(parts.all().begin(), parts.all().end(), 1);
  parts.sync();
  int next = 1;
  for (int r = 0; r < machine.size(); ++r) {
    ASSERT_EQ(parts.of(r).size(), static_cast<std::size_t>(r % 3));
    for (const int element : parts.of(r)) EXPECT_EQ(element, next++);
  }
}

TEST(SharedWindow, AtomicsWorkAcrossRanks) {
  const communicator machine = world().split_shared();
  shared_window<long> counter(machine, machine.rank() == 0 ? 1 : 0);
  for (int i = 0; i < 1000; ++i) std::atomic_ref(counter.of(0)[0]).fetch_add(1);
  counter.sync();
  EXPECT_EQ(counter.of(0)[0], 1000 * machine.size());
}

TEST(SharedWindow, RefusesRanksThatAreNot) {
  const communicator machine = world().split_shared();
  const shared_window<int> parts(machine, 1);
  EXPECT_THROW(static_cast<void>(parts.of(machine.size())), error);
  EXPECT_THROW(static_cast<void>(parts.of(-1)), error);
}

}  // namespace
