// The code blocks of the documentation of grids, one-sided memory, files and ordered output.
#include <tutti/mpi/mpi.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace mpi = tutti::mpi;

TEST(DocsGrid, AStencil) {
  double inside = mpi::world().rank();

  const mpi::cartesian grid(mpi::world(), {0, 0}, {true, false});  // as square as can be; the rows wrap around
  const int below = grid.shift(0).dest;
  const int right = grid.shift(1).dest;  // mpi::no_rank at the edge

  // left and right, above and below: what they have, nothing beyond the edge
  double sum = 0;
  for (const std::optional<double>& halo : grid.neighbor_allgather(inside)) sum += halo.value_or(0.0);

  const mpi::cartesian row = grid.sub({false, true});  // the ranks of this row
  const double of_row = row.allreduce(inside, mpi::sum);

  EXPECT_EQ(below, grid.rank_at({grid.coords()[0] + 1, grid.coords()[1]}));
  EXPECT_EQ(right, grid.rank_at({grid.coords()[0], grid.coords()[1] + 1}));
  double expected = 0;
  for (const int neighbor : grid.sources()) expected += neighbor == mpi::no_rank ? 0 : neighbor;
  EXPECT_EQ(sum, expected);
  expected = 0;
  for (int column = 0; column < grid.dims()[1]; ++column) expected += grid.rank_at({grid.coords()[0], column});
  EXPECT_EQ(of_row, expected);
}

TEST(DocsGrid, AGraph) {
  const mpi::communicator all = mpi::world();
  const int n = all.size();

  // Each rank says who its neighbours are: here, a ring of one direction.
  const mpi::dist_graph ring(all, {(all.rank() + n - 1) % n}, {(all.rank() + 1) % n});
  const std::vector<std::optional<std::string>> came = ring.neighbor_allgather("of rank " + std::to_string(all.rank()));

  EXPECT_EQ(came.at(0), "of rank " + std::to_string((all.rank() + n - 1) % n));
}

TEST(DocsWindow, ACounter) {
  const int tasks = 10;
  int done = 0;

  mpi::window<std::int64_t> next_task(mpi::world(), 1);
  for (;;) {
    const auto mine = next_task.fetch_and_op(1, 0, 0, mpi::sum);  // of rank 0, element 0
    if (mine >= tasks) break;
    ++done;
  }

  EXPECT_EQ(mpi::world().allreduce(done, mpi::sum), tasks);
}

TEST(DocsWindow, Epochs) {
  const mpi::communicator all = mpi::world();
  const int next = (all.rank() + 1) % all.size();
  const std::vector<double> block(100, all.rank());
  std::vector<double> copy(100);

  mpi::window<double> numbers(all, 1000);  // on each rank, all zero
  numbers.fence();
  numbers.put(block, next, 200);  // elements 200 to 299 of the next rank
  numbers.accumulate(0.5, next, 0, mpi::sum);
  numbers.end_fence();  // all has happened, everywhere

  {
    const auto held = numbers.lock(next, mpi::lock_type::shared);
    numbers.get_into(copy, next, 200);
  }  // it is here

  EXPECT_EQ(copy, block);
  EXPECT_EQ(numbers.local()[0], 0.5);
}

TEST(DocsWindow, Shared) {
  const mpi::communicator machine = mpi::world().split_shared();

  mpi::shared_window<double> table(machine, machine.rank() == 0 ? 1000 : 0);  // one for all
  if (machine.rank() == 0) {
    for (double& element : table.local()) element = 2.5;
  }
  table.sync();
  const double third = table.of(0)[3];  // a load, not a message

  EXPECT_EQ(third, 2.5);
}

TEST(DocsFile, BlocksAndPlaces) {
  const mpi::communicator all = mpi::world();
  std::string folder_name = (std::filesystem::temp_directory_path() / "tutti_mpi_docs_XXXXXX").string();
  if (all.rank() == 0 && ::mkdtemp(folder_name.data()) == nullptr) folder_name.clear();
  const std::filesystem::path folder = all.bcast(folder_name);
  const std::vector<double> mine(static_cast<std::size_t>(100 + all.rank()), all.rank());

  mpi::write_blocks(all, folder / "numbers", mine);  // each rank's behind those of the ranks before
  const std::vector<double> share = mpi::read_blocks<double>(all, folder / "numbers");  // as many for each

  mpi::file numbers(all, folder / "numbers", mpi::file_mode::update);
  numbers.write_at_all(static_cast<std::uint64_t>(all.rank()), -1.0);  // element number rank()
  numbers.sync();  // what is written here, others are sure to read
  all.barrier();
  numbers.sync();
  const std::vector<double> first = numbers.read_at<double>(0, 10);  // fewer at the end only

  EXPECT_EQ(all.allreduce(share.size(), mpi::sum), all.allreduce(mine.size(), mpi::sum));
  EXPECT_EQ(first.size(), 10U);
  EXPECT_EQ(first[0], -1.0);
  numbers.close();
  if (all.rank() == 0) std::filesystem::remove_all(folder);
}

TEST(DocsOrdered, Lines) {
  const mpi::communicator all = mpi::world();
  std::ostringstream log;

  mpi::print_in_order(all, "rank " + std::to_string(all.rank()) + " is here", log);
  mpi::ordered(all, log) << all.rank() << " squared is " << all.rank() * all.rank();

  EXPECT_EQ(log.str().empty(), all.rank() != 0);
}

}  // namespace
