// Collectives over memory that is there: equal counts, counts that are given, and the forms that only begin.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <string>
#include <tests/support/ranks.hpp>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::many;
using tutti_test::particle;

// What rank `rank` has as its element `i` for rank `to`.
int element(int rank, int to, int i) { return 10'000 * rank + 100 * to + i; }
std::vector<int> block(int rank, int to, int length) {
  std::vector<int> all(many(length));
  for (int i = 0; i < length; ++i) all[many(i)] = element(rank, to, i);
  return all;
}
void append(std::vector<int>& list, const std::vector<int>& more) { list.insert(list.end(), more.begin(), more.end()); }

constexpr int lengths[] = {0, 1, 3, 1000, 20'000};

TEST(SpecCollectivesInto, Bcast) {
  const communicator all = mpi::world().dup("bcast_into");
  for (const int length : lengths) {
    for (int root = 0; root < all.size(); ++root) {
      const std::vector<int> expected = block(root, 0, length);
      std::vector<int> both = all.rank() == root ? expected : std::vector<int>(many(length), -1);
      all.bcast_into(both, root);
      EXPECT_EQ(both, expected);
      std::vector<int> again = all.rank() == root ? expected : std::vector<int>(many(length), -1);
      all.ibcast(again, root).wait();
      EXPECT_EQ(again, expected);
    }
  }
  std::array<particle, 2> pair{};
  if (all.rank() == 0) pair = {particle{1, 2, 3}, particle{4, 5, 6}};
  all.bcast_into(pair);
  EXPECT_EQ(pair[1], (particle{4, 5, 6}));
}

TEST(SpecCollectivesInto, Scatter) {
  const communicator all = mpi::world().dup("scatter_into");
  const int n = all.size();
  for (const int length : lengths) {
    for (int root = 0; root < n; ++root) {
      std::vector<int> in;
      if (all.rank() == root) {
        for (int to = 0; to < n; ++to) append(in, block(root, to, length));
      }
      std::vector<int> out(many(length), -1);
      all.scatter_into(in, out, root);
      EXPECT_EQ(out, block(root, all.rank(), length));
      std::vector<int> again(many(length), -1);
      all.iscatter(in, again, root).wait();
      EXPECT_EQ(again, out);
    }
  }
}

TEST(SpecCollectivesInto, ScatterOfCounts) {
  const communicator all = mpi::world().dup("scatterv_into");
  const int n = all.size();
  for (int root = 0; root < n; ++root) {
    std::vector<int> in;
    std::vector<int> counts;
    if (all.rank() == root) {
      for (int to = 0; to < n; ++to) {
        counts.push_back(to % 3 * 7);
        append(in, block(root, to, counts.back()));
      }
    }
    std::vector<int> out(many(all.rank() % 3 * 7), -1);
    all.scatter_into(in, counts, out, root);
    EXPECT_EQ(out, block(root, all.rank(), all.rank() % 3 * 7));
  }
}

TEST(SpecCollectivesInto, Gather) {
  const communicator all = mpi::world().dup("gather_into");
  const int n = all.size();
  for (const int length : lengths) {
    for (int root = 0; root < n; ++root) {
      const std::vector<int> in = block(all.rank(), root, length);
      std::vector<int> expected;
      if (all.rank() == root) {
        for (int from = 0; from < n; ++from) append(expected, block(from, root, length));
      }
      std::vector<int> out(expected.size(), -1);
      all.gather_into(in, out, root);
      EXPECT_EQ(out, expected);
      std::vector<int> again(expected.size(), -1);
      all.igather(in, again, root).wait();
      EXPECT_EQ(again, expected);
    }
  }
}

TEST(SpecCollectivesInto, GatherOfCounts) {
  const communicator all = mpi::world().dup("gatherv_into");
  const int n = all.size();
  for (int root = 0; root < n; ++root) {
    const std::vector<int> in = block(all.rank(), root, (all.rank() + 1) % 3 * 5);
    std::vector<int> counts;
    std::vector<int> expected;
    if (all.rank() == root) {
      for (int from = 0; from < n; ++from) {
        counts.push_back((from + 1) % 3 * 5);
        append(expected, block(from, root, counts.back()));
      }
    }
    std::vector<int> out(expected.size(), -1);
    all.gather_into(in, out, counts, root);
    EXPECT_EQ(out, expected);
  }
}

TEST(SpecCollectivesInto, Allgather) {
  const communicator all = mpi::world().dup("allgather_into");
  for (const int length : lengths) {
    std::vector<int> expected;
    for (int from = 0; from < all.size(); ++from) append(expected, block(from, 1, length));
    std::vector<int> out(expected.size(), -1);
    all.allgather_into(block(all.rank(), 1, length), out);
    EXPECT_EQ(out, expected);
    std::vector<int> again(expected.size(), -1);
    const std::vector<int> in = block(all.rank(), 1, length);
    all.iallgather(in, again).wait();
    EXPECT_EQ(again, expected);
  }
}

TEST(SpecCollectivesInto, AllgatherOfCounts) {
  const communicator all = mpi::world().dup("allgatherv_into");
  std::vector<int> counts;
  std::vector<int> expected;
  for (int from = 0; from < all.size(); ++from) {
    counts.push_back(from % 2 * 9 + from);
    append(expected, block(from, 2, counts.back()));
  }
  std::vector<int> out(expected.size(), -1);
  all.allgather_into(block(all.rank(), 2, counts[many(all.rank())]), out, counts);
  EXPECT_EQ(out, expected);
}

TEST(SpecCollectivesInto, Alltoall) {
  const communicator all = mpi::world().dup("alltoall_into");
  const int n = all.size();
  for (const int length : lengths) {
    std::vector<int> in;
    std::vector<int> expected;
    for (int other = 0; other < n; ++other) {
      append(in, block(all.rank(), other, length));
      append(expected, block(other, all.rank(), length));
    }
    std::vector<int> out(in.size(), -1);
    all.alltoall_into(in, out);
    EXPECT_EQ(out, expected);
    std::vector<int> again(in.size(), -1);
    all.ialltoall(in, again).wait();
    EXPECT_EQ(again, expected);
  }
}

TEST(SpecCollectivesInto, AlltoallOfCounts) {
  const communicator all = mpi::world().dup("alltoallv_into");
  const int n = all.size();
  const auto count = [](int from, int to) { return (from + 2 * to) % 4 * 11; };
  std::vector<int> in;
  std::vector<int> expected;
  std::vector<int> out_counts;
  std::vector<int> in_counts;
  for (int other = 0; other < n; ++other) {
    out_counts.push_back(count(all.rank(), other));
    append(in, block(all.rank(), other, out_counts.back()));
    in_counts.push_back(count(other, all.rank()));
    append(expected, block(other, all.rank(), in_counts.back()));
  }
  std::vector<int> out(expected.size(), -1);
  all.alltoall_into(in, out_counts, out, in_counts);
  EXPECT_EQ(out, expected);
}

// Element e of all ranks' vectors: rank + e.
std::vector<int> row(int rank, int length) {
  std::vector<int> list(many(length));
  std::iota(list.begin(), list.end(), rank);
  return list;
}
std::vector<int> sum_of_rows(int first, int last, int length) {
  std::vector<int> sum(many(length));
  for (int rank = first; rank < last; ++rank) {
    for (int i = 0; i < length; ++i) sum[many(i)] += rank + i;
  }
  return sum;
}

TEST(SpecCollectivesInto, ReduceAndAllreduce) {
  const communicator all = mpi::world().dup("reduce_into");
  for (const int length : lengths) {
    const std::vector<int> in = row(all.rank(), length);
    const std::vector<int> expected = sum_of_rows(0, all.size(), length);
    for (int root = 0; root < all.size(); ++root) {
      std::vector<int> out(many(length), -1);
      all.reduce_into(in, out, mpi::sum, root);
      if (all.rank() == root) {
        EXPECT_EQ(out, expected);
      }
      std::vector<int> again(many(length), -1);
      all.ireduce(in, again, mpi::sum, root).wait();
      if (all.rank() == root) {
        EXPECT_EQ(again, expected);
      }
    }
    std::vector<int> out(many(length), -1);
    all.allreduce_into(in, out, mpi::sum);
    EXPECT_EQ(out, expected);
    std::vector<int> again(many(length), -1);
    all.iallreduce(in, again, mpi::sum).wait();
    EXPECT_EQ(again, expected);
  }
}

TEST(SpecCollectivesInto, ReduceScatter) {
  const communicator all = mpi::world().dup("reduce_scatter");
  const int n = all.size();
  for (const int length : lengths) {
    // Blocks that differ in length.
    const std::vector<int> whole = sum_of_rows(0, n, length + 1);
    const mpi::block mine = mpi::block_of(many(length + 1), all.rank(), n);
    const auto first = whole.begin() + static_cast<std::ptrdiff_t>(mine.first);
    EXPECT_EQ(all.reduce_scatter(row(all.rank(), length + 1), mpi::sum),
              std::vector<int>(first, first + static_cast<std::ptrdiff_t>(mine.count)));
    // Equal ones.
    const std::vector<int> in = row(all.rank(), length * n);
    const std::vector<int> sum = sum_of_rows(0, n, length * n);
    const std::vector<int> expected(sum.begin() + all.rank() * length, sum.begin() + (all.rank() + 1) * length);
    std::vector<int> out(many(length), -1);
    all.reduce_scatter_into(in, out, mpi::sum);
    EXPECT_EQ(out, expected);
    std::vector<int> again(many(length), -1);
    all.ireduce_scatter(in, again, mpi::sum).wait();
    EXPECT_EQ(again, expected);
  }
}

TEST(SpecCollectivesInto, ScanAndExscan) {
  const communicator all = mpi::world().dup("scan_into");
  for (const int length : lengths) {
    const std::vector<int> in = row(all.rank(), length);
    std::vector<int> out(many(length), -1);
    all.scan_into(in, out, mpi::sum);
    EXPECT_EQ(out, sum_of_rows(0, all.rank() + 1, length));
    std::vector<int> again(many(length), -1);
    all.iscan(in, again, mpi::sum).wait();
    EXPECT_EQ(again, out);
    std::vector<int> before(many(length), -1);
    all.exscan_into(in, before, mpi::sum);
    if (all.rank() > 0) {
      EXPECT_EQ(before, sum_of_rows(0, all.rank(), length));
    }
    std::vector<int> before_again(many(length), -1);
    all.iexscan(in, before_again, mpi::sum).wait();
    if (all.rank() > 0) {
      EXPECT_EQ(before_again, before);
    }
  }
}

// ---- several under way

TEST(SpecCollectivesInto, SeveralUnderWayAtOnce) {
  const communicator all = mpi::world().dup("overlapping");
  const int n = all.size();
  const int me = all.rank();
  for (int round = 0; round < 20; ++round) {
    const int length = round % 2 == 0 ? 3 : 5000;
    const int root = round % n;
    std::vector<int> broadcast = me == root ? block(root, round, length) : std::vector<int>(many(length));
    const std::vector<int> mine = row(me + round, length);
    std::vector<int> sum(many(length));
    std::vector<int> scanned(many(length));
    std::vector<int> gathered(me == root ? many(length * n) : 0);
    std::vector<int> everybodys(many(length * n));
    std::vector<mpi::request> requests;
    requests.push_back(all.ibcast(broadcast, root));
    requests.push_back(all.iallreduce(mine, sum, mpi::sum));
    requests.push_back(all.ibarrier());
    requests.push_back(all.igather(mine, gathered, root));
    requests.push_back(all.iallgather(mine, everybodys));
    requests.push_back(all.iscan(mine, scanned, mpi::max));
    // And messages, and collectives that block, of another communicator and of this one.
    EXPECT_EQ(all.sendrecv(round, tutti_test::next_of(all), tutti_test::before_of(all)), round);
    EXPECT_EQ(all.allreduce(1, mpi::sum), n);
    if (round % 3 == 0) {
      mpi::wait_all(requests);
    } else if (round % 3 == 1) {
      for (auto one = requests.rbegin(); one != requests.rend(); ++one) one->wait();
    } else {
      for (std::size_t i = 0; i < requests.size(); ++i) {
        const auto ended = mpi::wait_any(requests);
        EXPECT_LT(ended.index, requests.size());
      }
    }
    EXPECT_EQ(broadcast, block(root, round, length));
    EXPECT_EQ(sum, sum_of_rows(round, round + n, length));
    EXPECT_EQ(scanned, mine);
    std::vector<int> expected;
    for (int r = 0; r < n; ++r) append(expected, row(r + round, length));
    EXPECT_EQ(everybodys, expected);
    if (me == root) {
      EXPECT_EQ(gathered, expected);
    }
  }
}

TEST(SpecCollectivesInto, ABarrierThatIsBegunEndsWhenAllHaveBegunIt) {
  const communicator all = mpi::world().dup("ibarrier");
  if (all.size() < 2) GTEST_SKIP() << "alone there is nobody to wait for";
  if (all.rank() == 0) {
    // The others' has begun; without this one's it cannot end.
    for (int from = 1; from < all.size(); ++from) static_cast<void>(all.recv<int>(from, 1));
    for (int to = 1; to < all.size(); ++to) all.send(0, to, 2);
    for (int from = 1; from < all.size(); ++from) EXPECT_FALSE(all.recv<bool>(from, 3));
    all.ibarrier().wait();
  } else {
    mpi::request all_here = all.ibarrier();
    all.send(0, 0, 1);
    static_cast<void>(all.recv<int>(0, 2));
    all.send(all_here.test().has_value(), 0, 3);
    all_here.wait();
  }
}

}  // namespace
