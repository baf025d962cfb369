#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace tutti::mpi;

struct particle {
  double x, y;
  int id;
  bool operator==(const particle&) const = default;
};

template <class T>
void goes_round(const T& value) {
  const communicator all = world();
  const int next = (all.rank() + 1) % all.size();
  const int before = (all.rank() + all.size() - 1) % all.size();
  request sent = all.isend(value, next, 7);
  status about;
  EXPECT_EQ(all.recv<T>(before, 7, &about), value);
  EXPECT_EQ(about.source, before);
  EXPECT_EQ(about.tag, 7);
  sent.wait();
}

TEST(PointToPoint, ValuesOfAllKindsGoRound) {
  goes_round(42);
  goes_round(2.5);
  goes_round(particle{1, 2, 3});
  goes_round(std::array<int, 3>{1, 2, 3});
  goes_round(std::string("hello"));
  goes_round(std::vector<double>{1, 2, 3, 4});
  goes_round(std::vector<particle>(1000, particle{1, 2, 3}));
  goes_round(std::vector<std::string>{"a", "", "ccc"});
  goes_round(std::map<std::string, std::vector<int>>{{"a", {1, 2}}, {"b", {}}});
}

using texts = std::vector<std::string>;

TEST(PointToPoint, EncodedValuesGoIntoThoseThatAreThere) {
  const communicator all = world();
  const int next = (all.rank() + 1) % all.size();
  const int before = (all.rank() + all.size() - 1) % all.size();
  texts into{std::string(100, 'x'), "y", "z"};
  const char* const memory = into[0].data();
  request sent = all.isend(texts{std::string(80, 'a'), "b"}, next, 3);
  const status about = all.recv_into(into, before, 3);
  sent.wait();
  EXPECT_EQ(about.source, before);
  EXPECT_EQ(into, (texts{std::string(80, 'a'), "b"}));
  EXPECT_EQ(into[0].data(), memory);
  EXPECT_EQ(all.recv_into(into, no_rank).source, no_rank);
  EXPECT_EQ(into, (texts{std::string(80, 'a'), "b"}));
  sent = all.isend(std::string("no list of texts"), next, 4);
  EXPECT_THROW(all.recv_into(into, before, 4), tutti::decode_error);
  sent.wait();
}

TEST(Collectives, EncodedValuesGoIntoThoseThatAreThere) {
  const communicator all = world();
  const auto of = [](int rank) { return texts{"from", std::to_string(rank), std::string(50, 'r')}; };
  for (int root = 0; root < all.size(); ++root) {
    texts both = all.rank() == root ? of(root) : texts(5, std::string(60, 'o'));
    const char* const memory = both[2].data();
    all.bcast_into(both, root);
    EXPECT_EQ(both, of(root));
    EXPECT_EQ(both[2].data(), memory);
    std::vector<texts> gathered(1, texts(7, "old"));
    all.gather_into(of(all.rank()), gathered, root);
    if (all.rank() != root) {
      EXPECT_EQ(gathered.size(), 1U);
      continue;
    }
    ASSERT_EQ(gathered.size(), static_cast<std::size_t>(all.size()));
    for (int r = 0; r < all.size(); ++r) EXPECT_EQ(gathered[static_cast<std::size_t>(r)], of(r));
  }
}

TEST(PointToPoint, RefusesRanksThatAreNot) {
  const communicator all = world();
  EXPECT_THROW(all.send(1, all.size()), error);
  EXPECT_THROW(all.send(1, 0, -3), error);
  EXPECT_THROW(all.send(1, any_source), error);
  EXPECT_THROW(static_cast<void>(all.recv<int>(all.size())), error);
}

TEST(Collectives, OfNumbers) {
  const communicator all = world();
  const int n = all.size();
  EXPECT_EQ(all.bcast(all.rank() == 0 ? 100 : 0), 100);
  EXPECT_EQ(all.allreduce(all.rank() + 1, sum), n * (n + 1) / 2);
  EXPECT_EQ(all.allreduce(std::string(1, static_cast<char>('a' + all.rank())), sum),
            std::string("abcdefghij").substr(0, static_cast<std::size_t>(n)));
  std::vector<int> squares = all.gather((all.rank() + 1) * (all.rank() + 1));
  if (all.rank() == 0) {
    ASSERT_EQ(squares.size(), static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) EXPECT_EQ(squares[static_cast<std::size_t>(i)], (i + 1) * (i + 1));
  }
  EXPECT_EQ(all.allreduce(located<double>{double(all.rank() % 2), all.rank()}, maxloc).where, n > 1 ? 1 : 0);
  const auto product = [](int a, int b) { return a * b; };
  EXPECT_EQ(all.allreduce(2, product), 1 << n);
  EXPECT_EQ(all.allreduce(std::vector<int>{1, all.rank()}, sum), (std::vector<int>{n, n * (n - 1) / 2}));
}

}  // namespace
