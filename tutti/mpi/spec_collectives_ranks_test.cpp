// Collectives over values of any type: sizes that differ, empty contributions, roots other than 0.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <array>
#include <complex>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <string>
#include <tests/support/ranks.hpp>
#include <variant>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::many;
using tutti_test::particle;
using tutti_test::person;
using tutti_test::same;

// The value that rank `rank` has, number `i` of its values; sizes differ from rank to rank and some are empty.
template <class T>
struct sample;
template <>
struct sample<int> {
  static int of(int rank, int i) { return 100 * rank + i; }
};
template <>
struct sample<bool> {
  static bool of(int rank, int i) { return (rank + i) % 2 != 0; }
};
template <>
struct sample<char> {
  static char of(int rank, int i) { return static_cast<char>('a' + (rank + 7 * i) % 26); }
};
template <>
struct sample<double> {
  static double of(int rank, int i) { return rank + 0.25 * i; }
};
template <>
struct sample<std::complex<double>> {
  static std::complex<double> of(int rank, int i) { return {double(rank), double(i)}; }
};
template <>
struct sample<particle> {
  static particle of(int rank, int i) { return {double(rank), double(i), rank * i}; }
};
template <>
struct sample<std::array<short, 3>> {
  static std::array<short, 3> of(int rank, int i) { return {static_cast<short>(rank), static_cast<short>(i), 7}; }
};
template <>
struct sample<std::string> {
  static std::string of(int rank, int i) {
    return std::string(many((rank * 3 + i) % 5), static_cast<char>('a' + rank));
  }
};
template <>
struct sample<std::vector<int>> {
  static std::vector<int> of(int rank, int i) { return std::vector<int>(many((rank + i) % 3 * 1000), rank + i); }
};
template <>
struct sample<std::vector<std::string>> {
  static std::vector<std::string> of(int rank, int i) {
    return std::vector<std::string>(many((rank + 2 * i) % 3), sample<std::string>::of(rank, i));
  }
};
template <>
struct sample<std::vector<bool>> {
  static std::vector<bool> of(int rank, int i) { return std::vector<bool>(many((rank + i) % 4), rank % 2 == 0); }
};
template <>
struct sample<std::map<std::string, std::vector<int>>> {
  static std::map<std::string, std::vector<int>> of(int rank, int i) {
    if ((rank + i) % 3 == 1) return {};
    return {{std::to_string(rank), std::vector<int>(many(i), rank)}, {"same", {}}};
  }
};
template <>
struct sample<person> {
  static person of(int rank, int i) { return {std::string(many(rank), 'n'), i, {"x", std::to_string(rank)}}; }
};
template <>
struct sample<std::optional<int>> {
  static std::optional<int> of(int rank, int i) {
    return (rank + i) % 2 == 0 ? std::optional<int>() : std::optional<int>(rank);
  }
};
template <>
struct sample<std::variant<int, std::string>> {
  static std::variant<int, std::string> of(int rank, int i) {
    if ((rank + i) % 2 == 0) return rank;
    return std::string(many(i), 'v');
  }
};
template <>
struct sample<std::unique_ptr<int>> {
  static std::unique_ptr<int> of(int rank, int i) {
    return (rank + i) % 3 == 2 ? nullptr : std::make_unique<int>(10 * rank + i);
  }
};

template <class T>
class SpecCollectivesOf : public testing::Test {};
using kinds = testing::Types<int, bool, char, double, std::complex<double>, particle, std::array<short, 3>, std::string,
                             std::vector<int>, std::vector<std::string>, std::vector<bool>,
                             std::map<std::string, std::vector<int>>, person, std::optional<int>,
                             std::variant<int, std::string>, std::unique_ptr<int>>;
TYPED_TEST_SUITE(SpecCollectivesOf, kinds);

TYPED_TEST(SpecCollectivesOf, Bcast) {
  using of = sample<TypeParam>;
  const communicator all = mpi::world().dup("bcast");
  for (int root = 0; root < all.size(); ++root) {
    for (int i = 0; i < 4; ++i) {
      // What the others have is not looked at.
      const TypeParam came = all.bcast(all.rank() == root ? of::of(root, i) : of::of(all.rank(), i + 1), root);
      EXPECT_TRUE(same(came, of::of(root, i))) << "root " << root << " value " << i;
    }
  }
}

TYPED_TEST(SpecCollectivesOf, Scatter) {
  using of = sample<TypeParam>;
  const communicator all = mpi::world().dup("scatter");
  for (int root = 0; root < all.size(); ++root) {
    std::vector<TypeParam> values;
    // The others' range is not looked at, whatever its size.
    for (int r = 0; r < (all.rank() == root ? all.size() : all.rank()); ++r) values.push_back(of::of(r, root));
    EXPECT_TRUE(same(all.scatter(values, root), of::of(all.rank(), root))) << "root " << root;
  }
}

TYPED_TEST(SpecCollectivesOf, Gather) {
  using of = sample<TypeParam>;
  const communicator all = mpi::world().dup("gather");
  for (int root = 0; root < all.size(); ++root) {
    const auto values = all.gather(of::of(all.rank(), root), root);
    ASSERT_EQ(values.size(), all.rank() == root ? many(all.size()) : 0U);
    for (std::size_t r = 0; r < values.size(); ++r) {
      EXPECT_TRUE(same(values[r], of::of(static_cast<int>(r), root))) << "of rank " << r;
    }
  }
}

TYPED_TEST(SpecCollectivesOf, Allgather) {
  using of = sample<TypeParam>;
  const communicator all = mpi::world().dup("allgather");
  for (int i = 0; i < 4; ++i) {
    const auto values = all.allgather(of::of(all.rank(), i));
    ASSERT_EQ(values.size(), many(all.size()));
    for (int r = 0; r < all.size(); ++r) EXPECT_TRUE(same(values[many(r)], of::of(r, i))) << "of rank " << r;
  }
}

TYPED_TEST(SpecCollectivesOf, Alltoall) {
  using of = sample<TypeParam>;
  const communicator all = mpi::world().dup("alltoall");
  std::vector<TypeParam> values;
  for (int to = 0; to < all.size(); ++to) values.push_back(of::of(all.rank(), to));
  const auto came = all.alltoall(values);
  ASSERT_EQ(came.size(), many(all.size()));
  for (int from = 0; from < all.size(); ++from) {
    EXPECT_TRUE(same(came[many(from)], of::of(from, all.rank()))) << "from rank " << from;
  }
}

TEST(SpecCollectives, BarrierWaitsForAll) {
  const communicator all = mpi::world().dup("barrier");
  // Whoever is through it finds what all have sent before it, or can wait for it.
  for (int round = 0; round < 20; ++round) {
    mpi::request sent = all.isend(round, tutti_test::next_of(all));
    all.barrier();
    EXPECT_EQ(all.recv<int>(tutti_test::before_of(all)), round);
    sent.wait();
  }
}

TEST(SpecCollectives, ScatterTakesAnyRange) {
  const communicator all = mpi::world().dup("scatter ranges");
  const int n = all.size();
  std::list<std::string> texts;
  for (int r = 0; r < n; ++r) texts.push_back(std::to_string(r * r));
  EXPECT_EQ(all.scatter(texts), std::to_string(all.rank() * all.rank()));
  const auto squares = std::views::iota(0, n) | std::views::transform([](int i) { return i * i; });
  EXPECT_EQ(all.scatter(squares, n - 1), all.rank() * all.rank());
  const auto built = std::views::iota(0, n) | std::views::transform([](int i) { return std::string(many(i), 'x'); });
  EXPECT_EQ(all.scatter(built), std::string(many(all.rank()), 'x'));
  const std::vector<bool> flags(many(n), true);
  EXPECT_TRUE(all.scatter(flags));
  std::deque<std::vector<double>> ragged;
  for (int r = 0; r < n; ++r) ragged.emplace_back(many(r), 0.5);
  EXPECT_EQ(all.scatter(ragged).size(), many(all.rank()));
}

TEST(SpecCollectives, AlltoallTakesAnyRange) {
  const communicator all = mpi::world().dup("alltoall ranges");
  const auto texts = std::views::iota(0, all.size()) |
                     std::views::transform([&](int to) { return std::string(many(to), char('a' + all.rank())); });
  const auto came = all.alltoall(texts);
  for (int from = 0; from < all.size(); ++from) {
    EXPECT_EQ(came[many(from)], std::string(many(all.rank()), static_cast<char>('a' + from)));
  }
  // A rank that gives everything to one.
  std::vector<std::vector<int>> pieces(many(all.size()));
  pieces[0].assign(50'000, all.rank());
  const auto joined = all.alltoall(pieces);
  for (int from = 0; from < all.size(); ++from) {
    EXPECT_EQ(joined[many(from)], all.rank() == 0 ? std::vector<int>(50'000, from) : std::vector<int>());
  }
}

TEST(SpecCollectives, BlocksDifferByOneAtMost) {
  const communicator all = mpi::world().dup("blocks");
  const int n = all.size();
  for (const int count : {0, 1, 2, 3, 10, 17, 1000}) {
    std::vector<int> list(many(count));
    std::iota(list.begin(), list.end(), 1);
    std::size_t end = 0;
    for (int r = 0; r < n; ++r) {
      const mpi::block part = mpi::block_of(many(count), r, n);
      EXPECT_EQ(part.first, end);
      EXPECT_GE(part.count + 1, mpi::block_of(many(count), 0, n).count);
      EXPECT_LE(part.count, mpi::block_of(many(count), 0, n).count);
      end += part.count;
    }
    EXPECT_EQ(end, many(count));
    for (const int root : {0, n - 1}) {
      const auto mine = all.scatter_blocks(all.rank() == root ? list : std::vector<int>(3), root);
      const mpi::block part = mpi::block_of(many(count), all.rank(), n);
      ASSERT_EQ(mine.size(), part.count);
      for (std::size_t i = 0; i < mine.size(); ++i) EXPECT_EQ(mine[i], static_cast<int>(part.first + i) + 1);
    }
  }
  // The numbers 1 to 10 on three ranks: 4, 3 and 3 of them.
  static_assert(mpi::block_of(10, 0, 3).count == 4 && mpi::block_of(10, 1, 3).first == 4);
  static_assert(mpi::block_of(10, 2, 3).first == 7 && mpi::block_of(10, 2, 3).count == 3);
  const std::string text = "abcdefg";
  const auto letters = all.scatter_blocks(text);
  EXPECT_EQ(std::string(letters.begin(), letters.end()),
            text.substr(mpi::block_of(7, all.rank(), n).first, mpi::block_of(7, all.rank(), n).count));
}

TEST(SpecCollectives, LargeValues) {
  const communicator all = mpi::world().dup("large values");
  const std::vector<double> list(500'000, all.rank());
  EXPECT_EQ(all.bcast(list, all.size() - 1), std::vector<double>(500'000, all.size() - 1));
  const auto lists = all.gather(std::vector<double>(many(100'000 * (all.rank() % 2)), all.rank()));
  if (all.rank() == 0) {
    for (int r = 0; r < all.size(); ++r) EXPECT_EQ(lists[many(r)], std::vector<double>(many(100'000 * (r % 2)), r));
  }
  const auto texts = all.allgather(std::string(many(200'000 + all.rank()), static_cast<char>('a' + all.rank())));
  for (int r = 0; r < all.size(); ++r) {
    EXPECT_EQ(texts[many(r)], std::string(many(200'000 + r), static_cast<char>('a' + r)));
  }
}

TEST(SpecCollectives, AllContributionsEmpty) {
  const communicator all = mpi::world().dup("all empty");
  EXPECT_EQ(all.allgather(std::vector<int>()), std::vector<std::vector<int>>(many(all.size())));
  EXPECT_EQ(all.allgather(std::string()), std::vector<std::string>(many(all.size())));
  EXPECT_EQ(all.alltoall(std::vector<std::string>(many(all.size()))), std::vector<std::string>(many(all.size())));
  EXPECT_TRUE(all.bcast(std::vector<int>()).empty());
  EXPECT_TRUE(all.scatter(std::vector<std::vector<int>>(many(all.size()))).empty());
}

// One after the other, of all kinds, with point-to-point messages of wildcards between them: they do not meet.
TEST(SpecCollectives, MessagesAndCollectivesDoNotMeet) {
  const communicator all = mpi::world().dup("do not meet");
  for (int i = 0; i < 30; ++i) {
    mpi::request sent = all.isend(std::vector<int>{i}, tutti_test::next_of(all), 0);
    EXPECT_EQ(all.bcast(std::to_string(i), i % all.size()), std::to_string(i));
    EXPECT_EQ(all.allgather(std::map<int, int>{{i, i}}).size(), many(all.size()));
    EXPECT_EQ(all.allreduce(std::string("x"), mpi::sum).size(), many(all.size()));
    EXPECT_EQ(all.recv<std::vector<int>>(), std::vector<int>{i});
    EXPECT_EQ(all.alltoall(std::vector<std::string>(many(all.size()), "y")).back(), "y");
    sent.wait();
  }
}

}  // namespace
