// Reductions: all operations on all kinds of elements, callables, places of extremes, and objects in the order of
// ranks.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <array>
#include <complex>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tests/support/ranks.hpp>
#include <type_traits>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::affine;
using tutti_test::affine_of;
using tutti_test::compose;
using tutti_test::many;
using tutti_test::then_op;

// The values of ranks `first` to `last` - 1 made one, from left to right.
template <class T, class Op, class Of>
T folded(int first, int last, Op op, Of of) {
  T value = of(first);
  for (int rank = first + 1; rank < last; ++rank) value = op(value, of(rank));
  return value;
}

// All reductions of `of(rank)`, against a serial one.
template <class T, class Op, class Of>
void reduces(const communicator& all, Op op, Of of) {
  const int n = all.size();
  const int me = all.rank();
  const T whole = folded<T>(0, n, op, of);
  EXPECT_EQ(all.allreduce(of(me), op), whole);
  for (const int root : {0, n - 1, n / 2}) {
    const std::optional<T> at_root = all.reduce(of(me), op, root);
    ASSERT_EQ(at_root.has_value(), me == root);
    if (at_root) {
      EXPECT_EQ(*at_root, whole) << "root " << root;
    }
  }
  EXPECT_EQ(all.scan(of(me), op), folded<T>(0, me + 1, op, of));
  const std::optional<T> before = all.exscan(of(me), op);
  ASSERT_EQ(before.has_value(), me > 0);
  if (before) {
    EXPECT_EQ(*before, folded<T>(0, me, op, of));
  }
}

// The same element by element, in all forms that take memory.
template <class T, class Op, class Of>
void reduces_elements(const communicator& all, int length, Op op, Of of) {
  const int n = all.size();
  const int me = all.rank();
  const auto row = [&](int first, int last) {
    std::vector<T> values;
    for (int i = 0; i < length; ++i) values.push_back(folded<T>(first, last, op, [&](int r) { return of(r, i); }));
    return values;
  };
  const std::vector<T> in = row(me, me + 1);
  const std::vector<T> whole = row(0, n);
  const auto blank = [&] { return std::vector<T>(many(length)); };
  EXPECT_EQ(all.allreduce(in, op), whole);
  EXPECT_EQ(all.scan(in, op), row(0, me + 1));
  std::vector<T> out = blank();
  all.allreduce_into(in, out, op);
  EXPECT_EQ(out, whole);
  out = blank();
  all.iallreduce(in, out, op).wait();
  EXPECT_EQ(out, whole);
  for (const int root : {0, n - 1}) {
    const auto at_root = all.reduce(in, op, root);
    if (me == root) {
      EXPECT_EQ(at_root.value_or(blank()), whole);
    }
    out = blank();
    all.reduce_into(in, out, op, root);
    if (me == root) {
      EXPECT_EQ(out, whole);
    }
    out = blank();
    all.ireduce(in, out, op, root).wait();
    if (me == root) {
      EXPECT_EQ(out, whole);
    }
  }
  out = blank();
  all.scan_into(in, out, op);
  EXPECT_EQ(out, row(0, me + 1));
  out = blank();
  all.iscan(in, out, op).wait();
  EXPECT_EQ(out, row(0, me + 1));
  out = blank();
  all.exscan_into(in, out, op);
  if (me > 0) {
    EXPECT_EQ(out, row(0, me));
  }
  out = blank();
  all.iexscan(in, out, op).wait();
  if (me > 0) {
    EXPECT_EQ(out, row(0, me));
    EXPECT_EQ(all.exscan(in, op).value_or(blank()), row(0, me));
  } else {
    EXPECT_FALSE(all.exscan(in, op));
  }
  const mpi::block mine = mpi::block_of(many(length), me, n);
  const auto first = whole.begin() + static_cast<std::ptrdiff_t>(mine.first);
  EXPECT_EQ(all.reduce_scatter(in, op), std::vector<T>(first, first + static_cast<std::ptrdiff_t>(mine.count)));
  if (length % n == 0) {
    const std::vector<T> part(whole.begin() + length / n * me, whole.begin() + length / n * (me + 1));
    std::vector<T> block(many(length / n));
    all.reduce_scatter_into(in, block, op);
    EXPECT_EQ(block, part);
    std::vector<T> again(many(length / n));
    all.ireduce_scatter(in, again, op).wait();
    EXPECT_EQ(again, part);
  }
}

template <class T>
class SpecReductionsOf : public testing::Test {};
template <class T>
class SpecReductionsOfIntegers : public testing::Test {};
using integers = testing::Types<char, signed char, unsigned char, short, unsigned short, int, unsigned, long,
                                unsigned long, long long, unsigned long long, char16_t, char32_t, wchar_t>;
using ordered = testing::Types<char, signed char, unsigned char, short, unsigned short, int, unsigned, long,
                               unsigned long, long long, unsigned long long, float, double>;
TYPED_TEST_SUITE(SpecReductionsOf, ordered);
TYPED_TEST_SUITE(SpecReductionsOfIntegers, integers);

TYPED_TEST(SpecReductionsOf, SumProdMinMaxAndLogic) {
  using T = TypeParam;
  const communicator all = mpi::world().dup("arithmetic");
  const auto of = [](int rank) { return static_cast<T>((rank * 5 + 3) % 7); };
  const auto elements = [](int rank, int i) { return static_cast<T>((rank * 3 + i * 5) % 4); };
  const auto with = [&](auto op) {
    reduces<T>(all, op, of);
    reduces_elements<T>(all, 12, op, elements);
    reduces_elements<T>(all, 7, op, elements);
  };
  with(mpi::sum);
  with(mpi::min);
  with(mpi::max);
  with(mpi::land);
  with(mpi::lor);
  with(mpi::lxor);
  reduces<T>(all, mpi::prod, [](int rank) { return static_cast<T>(rank % 2 + 1); });
  reduces_elements<T>(all, 12, mpi::prod, [](int rank, int i) { return static_cast<T>((rank + i) % 3); });
}

TYPED_TEST(SpecReductionsOfIntegers, Bits) {
  using T = TypeParam;
  const communicator all = mpi::world().dup("bits");
  const auto of = [](int rank) { return static_cast<T>((rank * 37 + 90) % 128); };
  const auto elements = [](int rank, int i) { return static_cast<T>((rank * 37 + i * 11) % 128); };
  reduces<T>(all, mpi::band, of);
  reduces<T>(all, mpi::bor, of);
  reduces<T>(all, mpi::bxor, of);
  reduces_elements<T>(all, 12, mpi::band, elements);
  reduces_elements<T>(all, 12, mpi::bor, elements);
  reduces_elements<T>(all, 12, mpi::bxor, elements);
}

TEST(SpecReductions, SignsAndLimits) {
  const communicator all = mpi::world().dup("limits");
  const int me = all.rank();
  EXPECT_EQ(all.allreduce(static_cast<signed char>(-1 - me), mpi::min), -all.size());
  EXPECT_EQ(all.allreduce(static_cast<unsigned char>(255 - me), mpi::max), 255);
  EXPECT_EQ(all.allreduce(me == 0 ? std::numeric_limits<std::int64_t>::min() : 0, mpi::min),
            std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(all.allreduce(me == 0 ? std::numeric_limits<std::uint64_t>::max() : 0, mpi::max),
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(all.allreduce(me == 0 ? -std::numeric_limits<double>::infinity() : 1.0, mpi::min),
            -std::numeric_limits<double>::infinity());
  EXPECT_EQ(all.allreduce(static_cast<char>(-5), mpi::max), static_cast<char>(-5));
}

TEST(SpecReductions, Bools) {
  const communicator all = mpi::world().dup("bools");
  const int n = all.size();
  EXPECT_TRUE(all.allreduce(true, mpi::land));
  EXPECT_EQ(all.allreduce(all.rank() == 0, mpi::land), n == 1);
  EXPECT_TRUE(all.allreduce(all.rank() == n - 1, mpi::lor));
  EXPECT_FALSE(all.allreduce(false, mpi::lor));
  EXPECT_EQ(all.allreduce(true, mpi::lxor), n % 2 != 0);
  EXPECT_EQ(all.allreduce(all.rank() != 0, mpi::min), false);
  EXPECT_EQ(all.allreduce(all.rank() == 0, mpi::max), true);
  EXPECT_EQ(all.allreduce(true, mpi::sum), true);
  EXPECT_EQ(all.allreduce(true, mpi::band), true);
  EXPECT_EQ(all.allreduce(false, mpi::bor), false);
  EXPECT_EQ(all.allreduce(true, mpi::bxor), n % 2 != 0);
  const std::array<bool, 2> both{all.rank() == 0, true};
  EXPECT_EQ(all.allreduce(both, mpi::land), (std::array<bool, 2>{n == 1, true}));
}

TEST(SpecReductions, ComplexNumbers) {
  const communicator all = mpi::world().dup("complex");
  const auto with = [&]<class T>(T) {
    reduces<std::complex<T>>(all, mpi::sum, [](int r) { return std::complex<T>(T(r), T(1)); });
    reduces<std::complex<T>>(all, mpi::prod, [](int) { return std::complex<T>(0, 1); });
    reduces_elements<std::complex<T>>(all, 12, mpi::sum, [](int r, int i) { return std::complex<T>(T(r), T(i)); });
    reduces_elements<std::complex<T>>(all, 6, mpi::prod,
                                      [](int r, int i) { return std::complex<T>(T(r % 2), T(i % 2)); });
  };
  with(float());
  with(double());
}

TEST(SpecReductions, ArraysElementByElement) {
  const communicator all = mpi::world().dup("arrays");
  const int n = all.size();
  const std::array<int, 3> mine{1, all.rank(), -all.rank()};
  EXPECT_EQ(all.allreduce(mine, mpi::sum), (std::array<int, 3>{n, n * (n - 1) / 2, -n * (n - 1) / 2}));
  EXPECT_EQ(all.allreduce(mine, mpi::max), (std::array<int, 3>{1, n - 1, 0}));
  EXPECT_EQ(all.allreduce(mine, [](int a, int b) { return a + b; })[0], n);
}

TEST(SpecReductions, NothingOfNothing) {
  const communicator all = mpi::world().dup("nothing");
  EXPECT_TRUE(all.allreduce(std::vector<int>(), mpi::sum).empty());
  EXPECT_TRUE(all.scan(std::vector<double>(), mpi::max).empty());
  EXPECT_TRUE(all.reduce_scatter(std::vector<int>(), mpi::sum).empty());
  EXPECT_EQ(all.allreduce(std::string(), mpi::sum), "");
}

// ---- callables

TEST(SpecReductions, CallablesOnNumbers) {
  const communicator all = mpi::world().dup("callables");
  const auto gcd = [](int a, int b) {
    while (b != 0) a = std::exchange(b, a % b);
    return a;
  };
  reduces<int>(all, gcd, [](int rank) { return 12 * (rank + 1); });
  reduces_elements<int>(all, 12, gcd, [](int rank, int i) { return 6 * (rank + 1) * (i + 1); });
  // The left one, and the right one: associative, not commuting.
  const auto left = [](double a, double) { return a; };
  const auto right = [](double, double b) { return b; };
  reduces<double>(all, left, [](int rank) { return rank + 0.5; });
  reduces<double>(all, right, [](int rank) { return rank + 0.5; });
  for (const int length : {1, 6, 12, 600, 60'000}) {
    reduces_elements<double>(all, length, left, [](int rank, int i) { return rank + 0.001 * i; });
    reduces_elements<double>(all, length, right, [](int rank, int i) { return rank + 0.001 * i; });
  }
  // One that takes elements of any type.
  const auto plus = [](const auto& a, const auto& b) { return a + b; };
  EXPECT_EQ(all.allreduce(std::vector<int>{1, 2}, plus), (std::vector<int>{all.size(), 2 * all.size()}));
}

TEST(SpecReductions, CallablesOnAggregatesInTheOrderOfRanks) {
  const communicator all = mpi::world().dup("aggregates");
  const auto of = [](int rank) { return affine_of(static_cast<std::uint32_t>(rank)); };
  const auto elements = [](int rank, int i) {
    return affine_of(static_cast<std::uint32_t>(rank), static_cast<std::uint32_t>(i));
  };
  reduces<affine>(all, then_op(), of);
  reduces<affine>(all, [](const affine& a, const affine& b) { return compose(a, b); }, of);
  reduces<affine>(all, [](affine a, affine b) { return compose(a, b); }, of);
  for (const int length : {1, 6, 12, 600, 60'000}) reduces_elements<affine>(all, length, then_op(), elements);
}

// "It is applied in the order of ranks": an aggregate's own + too, which need not commute.
struct word {
  std::uint64_t digits = 0;
  std::uint64_t base = 1;
  bool operator==(const word&) const = default;
  friend word operator+(const word& a, const word& b) { return {a.digits * b.base + b.digits, a.base * b.base}; }
  friend bool operator<(const word& a, const word& b) { return a.digits < b.digits; }
};
TEST(SpecReductions, NamedOperationsOnAggregatesInTheOrderOfRanks) {
  const communicator all = mpi::world().dup("named on aggregates");
  const auto of = [](int rank) { return word{static_cast<std::uint64_t>(rank % 9 + 1), 10}; };
  const auto elements = [](int rank, int i) { return word{static_cast<std::uint64_t>((rank + i) % 9 + 1), 10}; };
  reduces<word>(all, mpi::sum, of);
  reduces<word>(all, mpi::max, of);
  reduces<word>(all, mpi::min, of);
  for (const int length : {1, 6, 12, 600, 60'000}) reduces_elements<word>(all, length, mpi::sum, elements);
}

// ---- places of extremes

TEST(SpecReductions, MaxlocAndMinloc) {
  const communicator all = mpi::world().dup("locations");
  const int n = all.size();
  const auto with = [&]<class T>(T) {
    const auto of = [](int rank) { return mpi::located<T>{static_cast<T>((rank * 5) % 4), rank}; };
    reduces<mpi::located<T>>(all, mpi::maxloc, of);
    reduces<mpi::located<T>>(all, mpi::minloc, of);
    reduces_elements<mpi::located<T>>(all, 12, mpi::maxloc, [](int rank, int i) {
      return mpi::located<T>{static_cast<T>((rank * 7 + i) % 5), rank};
    });
    reduces_elements<mpi::located<T>>(all, 12, mpi::minloc, [](int rank, int i) {
      return mpi::located<T>{static_cast<T>((rank * 7 + i) % 5), rank};
    });
  };
  with(int());
  with(double());
  with(float());
  with(std::uint64_t());
  with(char());
  // Equal values: the smaller place, whatever the order of ranks.
  EXPECT_EQ(all.allreduce(mpi::located<double>{1.0, n - all.rank()}, mpi::maxloc).where, 1);
  EXPECT_EQ(all.allreduce(mpi::located<double>{1.0, n - all.rank()}, mpi::minloc).where, 1);
  const auto text =
      all.allreduce(mpi::located<std::string>{std::string(many(all.rank() % 3), 'x'), all.rank()}, mpi::maxloc);
  EXPECT_EQ(text.where, std::min(n - 1, 2));
}

// ---- objects

TEST(SpecReductions, StringsConcatenateInTheOrderOfRanks) {
  const communicator all = mpi::world().dup("strings");
  const auto of = [](int rank) { return std::string(many(rank % 3), static_cast<char>('a' + rank)) + "."; };
  reduces<std::string>(all, mpi::sum, of);
  reduces<std::string>(all, mpi::max, of);
  reduces<std::string>(all, mpi::min, of);
  reduces<std::string>(all, [](const std::string& a, const std::string& b) { return a + "-" + b; }, of);
}

TEST(SpecReductions, MapsMerge) {
  const communicator all = mpi::world().dup("maps");
  using counts = std::map<std::string, int>;
  const auto merge = [](counts a, const counts& b) {
    for (const auto& [word_of, count] : b) a[word_of] += count;
    return a;
  };
  const auto of = [](int rank) {
    counts mine;
    mine["all"] = 1;
    mine[std::to_string(rank % 2)] = rank;
    if (rank % 3 == 1) mine.clear();
    return mine;
  };
  reduces<counts>(all, merge, of);
}

TEST(SpecReductions, ListsJoinInTheOrderOfRanksWithSizesThatDiffer) {
  const communicator all = mpi::world().dup("lists");
  const auto join = [](const std::vector<int>& a, const std::vector<int>& b) {
    std::vector<int> joined = a;
    joined.insert(joined.end(), b.begin(), b.end());
    return joined;
  };
  reduces<std::vector<int>>(all, join, [](int rank) { return std::vector<int>(many(rank % 3 * 1000), rank); });
  using texts = std::vector<std::string>;
  const auto join_texts = [](texts a, const texts& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  reduces<texts>(all, join_texts, [](int rank) { return texts(many(rank % 2), std::to_string(rank)); });
  const auto unite = [](std::set<int> a, const std::set<int>& b) {
    a.insert(b.begin(), b.end());
    return a;
  };
  reduces<std::set<int>>(all, unite, [](int rank) { return std::set<int>{rank, rank % 2}; });
}

TEST(SpecReductions, LargeObjects) {
  const communicator all = mpi::world().dup("large objects");
  reduces<std::string>(all, mpi::sum, [](int rank) { return std::string(200'000, static_cast<char>('a' + rank)); });
}

}  // namespace
