// Collectives and messages of random shapes against a serial model. All ranks draw the same numbers; TUTTI_TEST_SEED
// repeats a run.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <tests/support/choices.hpp>
#include <tests/support/ranks.hpp>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::affine;
using tutti_test::many;

// The same choices on all ranks: rank 0 prints the seed.
class common_choices {
 public:
  common_choices(const communicator& all, std::uint64_t salt)
      : engine_(all.bcast(all.rank() == 0 ? tutti_test::seed() : 0) * 1000 + salt) {}
  int below(int n) { return static_cast<int>(engine_() % static_cast<unsigned>(n)); }
  // Mostly short, sometimes long, sometimes nothing.
  int length() { return below(4) == 0 ? 0 : below(8) == 0 ? below(30'000) : below(20); }
  std::vector<int> list() {
    std::vector<int> values(many(length()));
    for (int& one : values) one = below(1000);
    return values;
  }
  std::string text() { return std::string(many(length()), static_cast<char>('a' + below(26))); }

 private:
  std::mt19937_64 engine_;
};

// What every rank has, known to all: the model computes from it what must come out.
template <class Make>
auto of_all(const communicator& all, Make make) {
  std::vector<decltype(make())> values;
  for (int r = 0; r < all.size(); ++r) values.push_back(make());
  return values;
}

constexpr int rounds = 40;

TEST(SpecProperties, Values) {
  const communicator all = mpi::world().dup("property values");
  common_choices choose(all, 1);
  const std::size_t me = many(all.rank());
  for (int round = 0; round < rounds; ++round) {
    const int root = choose.below(all.size());
    const auto lists = of_all(all, [&] { return choose.list(); });
    const auto texts = of_all(all, [&] { return choose.text(); });
    const auto table = of_all(all, [&] { return of_all(all, [&] { return choose.list(); }); });
    EXPECT_EQ(all.bcast(lists[me], root), lists[many(root)]);
    EXPECT_EQ(all.scatter(lists, root), lists[me]);
    EXPECT_EQ(all.allgather(lists[me]), lists);
    EXPECT_EQ(all.allgather(texts[me]), texts);
    EXPECT_EQ(all.gather(texts[me], root), all.rank() == root ? texts : std::vector<std::string>());
    const auto came = all.alltoall(table[me]);
    for (std::size_t from = 0; from < came.size(); ++from) EXPECT_EQ(came[from], table[from][me]);
    std::string joined;
    std::string before;
    for (std::size_t r = 0; r < texts.size(); ++r) {
      if (r < me) before += texts[r];
      joined += texts[r];
    }
    EXPECT_EQ(all.allreduce(texts[me], mpi::sum), joined);
    EXPECT_EQ(all.reduce(texts[me], mpi::sum, root).value_or("none"), all.rank() == root ? joined : "none");
    EXPECT_EQ(all.exscan(texts[me], mpi::sum).value_or(""), before);
    EXPECT_EQ(all.scan(texts[me], mpi::sum), before + texts[me]);
  }
}

TEST(SpecProperties, MemoryWithCounts) {
  const communicator all = mpi::world().dup("property counts");
  common_choices choose(all, 2);
  const std::size_t me = many(all.rank());
  for (int round = 0; round < rounds; ++round) {
    const int root = choose.below(all.size());
    const auto table = of_all(all, [&] { return of_all(all, [&] { return choose.list(); }); });
    std::vector<int> out_counts;
    std::vector<int> in_counts;
    std::vector<int> out;
    std::vector<int> expected;
    std::vector<int> first_counts;
    std::vector<int> firsts;
    for (std::size_t r = 0; r < many(all.size()); ++r) {
      out_counts.push_back(static_cast<int>(table[me][r].size()));
      out.insert(out.end(), table[me][r].begin(), table[me][r].end());
      in_counts.push_back(static_cast<int>(table[r][me].size()));
      expected.insert(expected.end(), table[r][me].begin(), table[r][me].end());
      first_counts.push_back(static_cast<int>(table[r][0].size()));
      firsts.insert(firsts.end(), table[r][0].begin(), table[r][0].end());
    }
    std::vector<int> in(expected.size(), -1);
    all.alltoall_into(out, out_counts, in, in_counts);
    EXPECT_EQ(in, expected);
    std::vector<int> gathered(firsts.size(), -1);
    all.allgather_into(table[me][0], gathered, first_counts);
    EXPECT_EQ(gathered, firsts);
    std::vector<int> at_root(all.rank() == root ? firsts.size() : 0, -1);
    all.gather_into(table[me][0], at_root, first_counts, root);
    EXPECT_EQ(at_root, all.rank() == root ? firsts : std::vector<int>());
    std::vector<int> back(table[me][0].size(), -1);
    all.scatter_into(firsts, first_counts, back, root);
    EXPECT_EQ(back, table[me][0]);
  }
}

// An operation that does not commute, on lists of random length.
TEST(SpecProperties, CallablesInOrder) {
  const communicator all = mpi::world().dup("property callables");
  common_choices choose(all, 3);
  const std::size_t me = many(all.rank());
  for (int round = 0; round < rounds; ++round) {
    const int root = choose.below(all.size());
    const auto length = many(choose.length());
    const auto rows = of_all(all, [&] {
      std::vector<affine> row(length);
      for (auto& one : row)
        one = {static_cast<std::uint32_t>(choose.below(1000)), static_cast<std::uint32_t>(choose.below(1000))};
      return row;
    });
    std::vector<affine> whole = rows[0];
    std::vector<affine> until_me = rows[0];
    for (std::size_t r = 1; r < rows.size(); ++r) {
      for (std::size_t i = 0; i < length; ++i) whole[i] = tutti_test::compose(whole[i], rows[r][i]);
      if (r <= me) until_me = whole;
    }
    EXPECT_EQ(all.allreduce(rows[me], tutti_test::then_op()), whole);
    EXPECT_EQ(all.scan(rows[me], tutti_test::then_op()), until_me);
    const auto at_root = all.reduce(rows[me], tutti_test::then_op(), root);
    EXPECT_EQ(at_root.value_or(whole), whole);
    const mpi::block mine = mpi::block_of(length, all.rank(), all.size());
    const auto first = whole.begin() + static_cast<std::ptrdiff_t>(mine.first);
    EXPECT_EQ(all.reduce_scatter(rows[me], tutti_test::then_op()),
              std::vector<affine>(first, first + static_cast<std::ptrdiff_t>(mine.count)));
  }
}

// Random messages from everybody to everybody, received in another order than they were sent.
TEST(SpecProperties, Messages) {
  const communicator all = mpi::world().dup("property messages");
  common_choices choose(all, 4);
  struct planned {
    int from, to, tag;
    bool is_text;
    std::vector<int> list;
    std::string text;
  };
  for (int round = 0; round < 10; ++round) {
    std::vector<planned> plan(many(20 * all.size()));
    for (std::size_t i = 0; i < plan.size(); ++i) {
      plan[i] = {choose.below(all.size()),
                 choose.below(all.size()),
                 static_cast<int>(i),
                 choose.below(2) == 0,
                 choose.list(),
                 choose.text()};
    }
    std::vector<std::size_t> order(plan.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[many(choose.below(static_cast<int>(i)))]);
    std::vector<mpi::request> sent;
    for (const planned& one : plan) {
      if (one.from != all.rank()) continue;
      if (one.is_text) {
        sent.push_back(all.isend(std::map<int, std::string>{{one.tag, one.text}}, one.to, one.tag));
      } else {
        sent.push_back(one.tag % 2 == 0 ? all.isend(one.list, one.to, one.tag) : all.issend(one.list, one.to, one.tag));
      }
    }
    for (const std::size_t i : order) {
      const planned& one = plan[i];
      if (one.to != all.rank()) continue;
      if (one.is_text) {
        EXPECT_EQ((all.recv<std::map<int, std::string>>(one.from, one.tag).at(one.tag)), one.text);
      } else {
        EXPECT_EQ(all.recv<std::vector<int>>(mpi::any_source, one.tag), one.list);
      }
    }
    mpi::wait_all(sent);
    all.barrier();  // the next round has the same tags
  }
}

}  // namespace
