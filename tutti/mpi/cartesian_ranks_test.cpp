#include <tutti/mpi/cartesian.hpp>

#include <tutti/mpi/dist_graph.hpp>
#include <tutti/mpi/mpi.hpp>
#include <tutti/mpi/native.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mpi.h>

#include <climits>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace tutti::mpi;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Cartesian, DimsAreChosen) {
  EXPECT_THAT(dims_create(12, 2), ElementsAre(4, 3));
  EXPECT_THAT(dims_create(12, {0, 2}), ElementsAre(6, 2));
  EXPECT_THAT(dims_create(8, 3), ElementsAre(2, 2, 2));
  EXPECT_THAT(dims_create(7, {7}), ElementsAre(7));
  EXPECT_THROW(dims_create(12, {0, 5}), error);
  EXPECT_THROW(dims_create(12, {3, 5}), error);
  EXPECT_THROW(dims_create(12, {-3, 0}), error);
  EXPECT_THROW(dims_create(0, 2), error);
  EXPECT_THROW(dims_create(12, 0), error);
  EXPECT_THROW(dims_create(6, {65536, 65536, 0}), error);
}

TEST(Cartesian, StandsRowByRow) {
  const communicator all = world();
  const cartesian grid(all, {0, 0}, {true, false});
  EXPECT_EQ(grid.size(), all.size());
  EXPECT_EQ(grid.dims(), dims_create(all.size(), 2));
  EXPECT_EQ(grid.periodic(), (std::vector<bool>{true, false}));
  EXPECT_EQ(grid.coords(), grid.coords(grid.rank()));
  const int columns = grid.dims()[1];
  for (int r = 0; r < grid.size(); ++r) {
    EXPECT_THAT(grid.coords(r), ElementsAre(r / columns, r % columns));
    EXPECT_EQ(grid.rank_at(grid.coords(r)), r);
  }
  EXPECT_EQ(grid.rank_at({-1, 0}), grid.rank_at({grid.dims()[0] - 1, 0}));
  EXPECT_EQ(grid.rank_at({2 * grid.dims()[0], 0}), 0);
  EXPECT_EQ(grid.rank_at({0, -1}), no_rank);
  EXPECT_EQ(grid.rank_at({0, columns}), no_rank);
  EXPECT_THAT(grid.name(), HasSubstr("world.cartesian("));
}

TEST(Cartesian, AgreesWithTheCApi) {
  const communicator all = world();
  for (const bool wraps : {false, true}) {
    const cartesian grid(all, {0, 0}, {wraps, !wraps});
    std::vector<int> coords(2);
    MPI_Cart_coords(native<MPI_Comm>(grid), grid.rank(), 2, coords.data());
    EXPECT_EQ(coords, grid.coords());
    for (int dimension = 0; dimension < 2; ++dimension) {
      for (const int by : {-7, -2, -1, 0, 1, 2, 3, 8}) {
        int source = 0;
        int dest = 0;
        MPI_Cart_shift(native<MPI_Comm>(grid), dimension, by, &source, &dest);
        const auto got = grid.shift(dimension, by);
        EXPECT_EQ(got.source, source == MPI_PROC_NULL ? no_rank : source) << dimension << ' ' << by;
        EXPECT_EQ(got.dest, dest == MPI_PROC_NULL ? no_rank : dest) << dimension << ' ' << by;
      }
    }
  }
}

TEST(Cartesian, ShiftsFar) {
  const cartesian line(world(), {0});
  EXPECT_EQ(line.shift(0, INT_MIN), (cartesian::shifted{no_rank, no_rank}));
  const cartesian ring(world(), {0}, {true});
  const int n = ring.size();
  EXPECT_EQ(ring.shift(0, INT_MAX).dest, static_cast<int>((long{INT_MAX} + ring.rank()) % n));
  EXPECT_EQ(ring.shift(0, INT_MIN).source, static_cast<int>((ring.rank() - long{INT_MIN}) % n));
}

TEST(Cartesian, MessagesGoRoundARing) {
  const cartesian ring(world(), {0}, {true});
  const auto [source, dest] = ring.shift(0);
  EXPECT_EQ(ring.sendrecv(ring.rank(), dest, source), source);
  const cartesian line(world(), {0});
  const auto along = line.shift(0);
  int came = -5;
  line.sendrecv_into(line.rank(), along.dest, came, along.source);
  EXPECT_EQ(came, line.rank() == 0 ? -5 : line.rank() - 1);
}

TEST(Cartesian, LeavesRanksOut) {
  const communicator all = world();
  const int some = all.size() > 1 ? all.size() - 1 : 1;
  const auto grid = cartesian::of_first(all, {some});
  EXPECT_EQ(grid.has_value(), all.rank() < some);
  if (grid) {
    EXPECT_EQ(grid->size(), some);
    EXPECT_EQ(grid->allreduce(1, sum), some);
  }
}

TEST(Cartesian, MayNumberAnew) {
  const cartesian grid(world(), {0, 0}, {}, true);
  EXPECT_EQ(grid.allreduce(grid.rank(), sum), grid.size() * (grid.size() - 1) / 2);
  EXPECT_EQ(grid.rank_at(grid.coords()), grid.rank());
}

TEST(Cartesian, SubGrids) {
  const cartesian grid(world(), {0, 0}, {true, false});
  const cartesian row = grid.sub({false, true});
  EXPECT_THAT(row.dims(), ElementsAre(grid.dims()[1]));
  EXPECT_EQ(row.periodic(), (std::vector<bool>{false}));
  EXPECT_THAT(row.coords(), ElementsAre(grid.coords()[1]));
  EXPECT_EQ(row.rank_at(row.coords()), row.rank());
  // All ranks of a row have the same first coordinate.
  EXPECT_EQ(row.allreduce(grid.coords()[0], min), grid.coords()[0]);
  EXPECT_EQ(row.allreduce(grid.coords()[0], max), grid.coords()[0]);
  const cartesian column = grid.sub({true, false});
  EXPECT_EQ(column.periodic(), (std::vector<bool>{true}));
  EXPECT_EQ(column.allreduce(1, sum), grid.dims()[0]);
}

TEST(Cartesian, OutlivesItsOrigin) {
  std::optional<cartesian> grid;
  {
    const communicator twin = world().dup();
    grid.emplace(twin, std::vector<int>{0});
  }
  const cartesian copy = *grid;
  grid.reset();
  EXPECT_EQ(copy.allreduce(1, sum), copy.size());
}

TEST(Cartesian, RefusesWhatCannotBe) {
  const communicator all = world();
  EXPECT_THROW(cartesian(all, {}), error);
  EXPECT_THROW(cartesian(all, {-1}), error);
  EXPECT_THROW(cartesian(all, {all.size() + 1}), error);
  EXPECT_THROW(cartesian(all, {all.size() + 1, 0}), error);
  EXPECT_THROW(static_cast<void>(cartesian::of_first(all, {all.size() + 1})), error);
  EXPECT_THROW(cartesian(all, {all.size()}, {true, false}), error);
  if (all.size() > 1) {
    try {
      const cartesian grid(all, {1, 1});
      FAIL();
    } catch (const error& e) {
      EXPECT_THAT(e.what(), HasSubstr("dims 1 x 1 are of 1 ranks, and there are " + std::to_string(all.size())));
      EXPECT_THAT(e.what(), HasSubstr("of_first"));
      EXPECT_THAT(e.what(), HasSubstr("cartesian_ranks_test.cpp"));
    }
  }
  const cartesian grid(all, {0, 0});
  EXPECT_THROW(static_cast<void>(grid.rank_at({0})), error);
  EXPECT_THROW(static_cast<void>(grid.coords(all.size())), error);
  EXPECT_THROW(static_cast<void>(grid.coords(-1)), error);
  EXPECT_THROW(static_cast<void>(grid.shift(2)), error);
  EXPECT_THROW(static_cast<void>(grid.shift(-1)), error);
  EXPECT_THROW(static_cast<void>(grid.sub({true})), error);
  EXPECT_THROW(static_cast<void>(grid.sub({false, false})), error);
}

// ---------------------------------------------------------------- neighbours

TEST(Neighbors, OfAGridWithEdges) {
  const cartesian line(world(), {0});
  const int r = line.rank();
  const int n = line.size();
  EXPECT_THAT(line.sources(), ElementsAre(r > 0 ? r - 1 : no_rank, r + 1 < n ? r + 1 : no_rank));
  const auto came = line.neighbor_allgather(std::to_string(r));
  ASSERT_EQ(came.size(), 2U);
  EXPECT_EQ(came[0], r > 0 ? std::optional(std::to_string(r - 1)) : std::nullopt);
  EXPECT_EQ(came[1], r + 1 < n ? std::optional(std::to_string(r + 1)) : std::nullopt);
}

// Also where both neighbours are one rank, or this one itself.
TEST(Neighbors, WhatGoesLeftComesFromTheRight) {
  const cartesian ring(world(), {0}, {true});
  const int n = ring.size();
  const int left = (ring.rank() + n - 1) % n;
  const int right = (ring.rank() + 1) % n;
  const auto text = [](const char* side, int rank) { return side + std::to_string(rank); };
  const auto came = ring.neighbor_alltoall(
      std::vector<std::string>{text("to the left of ", ring.rank()), text("to the right of ", ring.rank())});
  ASSERT_EQ(came.size(), 2U);
  EXPECT_EQ(came[0], text("to the right of ", left));
  EXPECT_EQ(came[1], text("to the left of ", right));

  const std::vector<int> out{10 * ring.rank(), 10 * ring.rank() + 1};
  std::vector<int> in(2, -1);
  ring.neighbor_alltoall_into(out, in);
  EXPECT_THAT(in, ElementsAre(10 * left + 1, 10 * right));
  in = {-1, -1};
  request under_way = ring.ineighbor_alltoall(out, in);
  under_way.wait();
  EXPECT_THAT(in, ElementsAre(10 * left + 1, 10 * right));
  in = {-1, -1, -1, -1};
  ring.neighbor_alltoall_into(std::vector<int>{1, 2, 2, 3}, std::vector<int>{1, 3}, in, std::vector<int>{3, 1});
  EXPECT_THAT(in, ElementsAre(2, 2, 3, 1));
}

TEST(Neighbors, EdgesOfHalosStayAsTheyAre) {
  const cartesian grid(world(), {0, 0}, {false, true});
  const double own = grid.rank();
  std::vector<double> halo(4, -1.5);
  grid.neighbor_allgather_into(own, halo);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(halo[i], grid.sources()[i] == no_rank ? -1.5 : double(grid.sources()[i]));
  }
  std::vector<double> again(4, -1.5);
  request under_way = grid.ineighbor_allgather(own, again);
  under_way.wait();
  EXPECT_EQ(again, halo);
}

TEST(Neighbors, RefuseSizesThatCannotBe) {
  const cartesian ring(world(), {0}, {true});
  std::vector<int> three(3);
  EXPECT_THROW(ring.neighbor_allgather_into(1, three), error);
  EXPECT_THROW(ring.neighbor_alltoall_into(three, three), error);
  EXPECT_THROW(ring.neighbor_alltoall_into(std::vector<int>(4), std::vector<int>(2)), error);
  EXPECT_THROW(static_cast<void>(ring.neighbor_alltoall(three)), error);
  EXPECT_THROW(ring.neighbor_allgather_into(1, three, std::vector<int>{1}), error);
  EXPECT_THROW(ring.neighbor_allgather_into(1, three, std::vector<int>{2, 2}), error);
  EXPECT_THROW(ring.neighbor_allgather_into(1, three, std::vector<int>{-1, 2}), error);
}

TEST(DistGraph, AStar) {
  const communicator all = world();
  const int n = all.size();
  // Rank 0 tells everybody, and nobody tells rank 0.
  std::vector<int> others(static_cast<std::size_t>(n - 1));
  std::iota(others.begin(), others.end(), 1);
  const bool center = all.rank() == 0;
  const dist_graph star(all, center ? std::vector<int>{} : std::vector<int>{0}, center ? others : std::vector<int>{});
  EXPECT_EQ(star.sources().size(), center ? 0U : 1U);
  EXPECT_EQ(star.destinations().size(), center ? others.size() : 0U);
  const auto came = star.neighbor_allgather(std::string("from the center"));
  if (center) {
    EXPECT_TRUE(came.empty());
  } else {
    EXPECT_THAT(came, ElementsAre(std::optional<std::string>("from the center")));
  }
  std::vector<int> out;
  for (const int to : star.destinations()) out.push_back(to * to);
  std::vector<int> in(star.sources().size());
  star.neighbor_alltoall_into(out, in);
  EXPECT_EQ(in, center ? std::vector<int>{} : std::vector<int>{all.rank() * all.rank()});
  const std::vector<int> from(star.sources().size(), 1);
  const std::vector<int> to(star.destinations().size(), 1);
  std::vector<int> again(star.sources().size());
  star.neighbor_alltoall_into(out, to, again, from);
  EXPECT_EQ(again, in);
  star.neighbor_allgather_into(all.rank() + 7, again, from);
  EXPECT_EQ(again, std::vector<int>(star.sources().size(), 7));
}

TEST(DistGraph, UnevenParts) {
  const communicator all = world();
  const int n = all.size();
  const int next = (all.rank() + 1) % n;
  const int before = (all.rank() + n - 1) % n;
  const dist_graph ring(all, {before}, {next});
  const std::vector<int> mine(static_cast<std::size_t>(all.rank() + 1), all.rank());
  std::vector<int> in(static_cast<std::size_t>(before + 1));
  ring.neighbor_allgather_into(mine, in, std::vector<int>{before + 1});
  EXPECT_EQ(in, std::vector<int>(static_cast<std::size_t>(before + 1), before));
  EXPECT_EQ(ring.neighbor_allgather(mine)[0], in);
}

TEST(DistGraph, RefusesRanksThatAreNot) {
  const communicator all = world();
  EXPECT_THROW(dist_graph(all, {all.size()}, {}), error);
  EXPECT_THROW(dist_graph(all, {}, {-1}), error);
}

}  // namespace
