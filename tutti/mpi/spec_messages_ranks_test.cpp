// Messages between two ranks: values of all kinds, in all ways to send and receive them.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <complex>
#include <deque>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tests/support/ranks.hpp>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::before_of;
using tutti_test::next_of;
using tutti_test::particle;
using tutti_test::person;
using tutti_test::same;

enum class colour : std::uint8_t { red, green };
struct empty_struct {
  bool operator==(const empty_struct&) const = default;
};
struct nested {
  particle at;
  std::array<colour, 3> colours{};
  bool operator==(const nested&) const = default;
};
// A plain layout, but it says itself what it means: never its bytes.
struct own_format {
  int shown = 0;
  int hidden = 0;
  template <class Archive>
  void serialize(Archive& ar) {
    ar(shown);
  }
};

// All ways around the ring, one after the other.
template <class T>
void goes_round(const communicator& all, const T& value) {
  const int next = next_of(all);
  const int before = before_of(all);
  {
    mpi::request sent = all.isend(value, next, 1);
    mpi::status about;
    EXPECT_TRUE(same(all.recv<T>(before, 1, &about), value));
    EXPECT_EQ(about.source, before);
    EXPECT_EQ(about.tag, 1);
    sent.wait();
  }
  {
    mpi::request sent = all.issend(value, next, 2);
    EXPECT_TRUE(same(all.irecv<T>(before, 2).wait(), value));
    sent.wait();
  }
  {
    mpi::value_request<T> coming = all.irecv<T>(before, 3);
    mpi::request sent = all.isend(value, next, 3);
    std::optional<T> came;
    while (!came) came = coming.test();
    EXPECT_TRUE(same(*came, value));
    sent.wait();
  }
  {
    mpi::status about;
    EXPECT_TRUE(same(all.sendrecv<T>(value, next, before, 4, mpi::any_tag, &about), value));
    EXPECT_EQ(about.source, before);
    EXPECT_EQ(about.tag, 4);
  }
  {
    mpi::request sent = all.isend(value, next, 5);
    const mpi::status there = all.probe(mpi::any_source, 5);
    EXPECT_EQ(there.source, before);
    EXPECT_EQ(there.tag, 5);
    mpi::status about;
    EXPECT_TRUE(same(all.recv<T>(there.source, there.tag, &about), value));
    EXPECT_EQ(about.bytes, there.bytes);
    sent.wait();
  }
  if (all.size() % 2 == 0) {  // blocking calls: even ranks send first
    for (const bool synchronous : {false, true}) {
      const auto send = [&] { synchronous ? all.ssend(value, next, 6) : all.send(value, next, 6); };
      if (all.rank() % 2 == 0) send();
      EXPECT_TRUE(same(all.recv<T>(before, 6), value));
      if (all.rank() % 2 != 0) send();
    }
  }
}

TEST(SpecMessages, NumbersGoRound) {
  const communicator all = mpi::world().dup("numbers");
  goes_round(all, true);
  goes_round(all, 'x');
  goes_round(all, static_cast<signed char>(-3));
  goes_round(all, static_cast<short>(-30000));
  goes_round(all, -2000000000);
  goes_round(all, std::numeric_limits<std::int64_t>::min());
  goes_round(all, std::numeric_limits<std::uint64_t>::max());
  goes_round(all, 1.5F);
  goes_round(all, -0.1);
  goes_round(all, colour::green);
  goes_round(all, std::complex<float>(1, 2));
  goes_round(all, std::complex<double>(-1, 0.5));
  goes_round(all, std::byte{200});
}

TEST(SpecMessages, PlainAggregatesAndArraysGoRound) {
  const communicator all = mpi::world().dup("aggregates");
  goes_round(all, particle{1.5, -2, 7});
  goes_round(all, nested{{1, 2, 3}, {colour::red, colour::green, colour::red}});
  goes_round(all, empty_struct());
  goes_round(all, std::array<int, 5>{1, 2, 3, 4, 5});
  goes_round(all, std::array<particle, 2>{particle{1, 2, 3}, particle{4, 5, 6}});
  goes_round(all, std::array<std::array<double, 2>, 3>{{{1, 2}, {3, 4}, {5, 6}}});
}

// By themselves, and side by side.
TEST(SpecMessages, ComplexNumbersArePlain) {
  EXPECT_TRUE(mpi::plain<std::complex<float>>);
  EXPECT_TRUE(mpi::buffer<std::vector<std::complex<double>>>);
}

TEST(SpecMessages, BuffersOfAllLengthsGoRound) {
  const communicator all = mpi::world().dup("buffers");
  for (const std::size_t length : {0U, 1U, 2U, 7U, 1000U, 5000U, 100'000U, 1'000'000U}) {
    std::vector<double> numbers(length);
    std::iota(numbers.begin(), numbers.end(), 0.5);
    goes_round(all, numbers);
    goes_round(all, std::string(length, 'q'));
  }
  goes_round(all, std::vector<particle>(333, particle{1, 2, 3}));
  goes_round(all, std::vector<std::array<int, 3>>(10, {1, 2, 3}));
  goes_round(all, std::vector<std::complex<double>>(10, {1, 2}));
  goes_round(all, std::u16string(u"größe"));
  goes_round(all, std::string("with\0zero", 9));
}

TEST(SpecMessages, ObjectsGoRound) {
  const communicator all = mpi::world().dup("objects");
  goes_round(all, person{"Ada", 36, {"Byron", "", "Annabella"}});
  goes_round(all, std::vector<person>{{"a", 1, {}}, {"b", 2, {"c"}}});
  goes_round(all, std::vector<std::string>{"a", "", std::string(100'000, 'x')});
  goes_round(all, std::vector<std::vector<std::vector<int>>>{{{1}, {}}, {}, {{2, 3}}});
  goes_round(all, std::vector<bool>{true, false, true, true});
  goes_round(all, std::map<std::string, std::vector<int>>{{"a", {1, 2}}, {"b", {}}});
  goes_round(all, std::map<int, std::map<int, std::string>>{{1, {{2, "three"}}}});
  goes_round(all, std::set<int>{3, 1, 2});
  goes_round(all, std::unordered_map<int, int>{{1, 2}});
  goes_round(all, std::deque<int>{1, 2, 3});
  goes_round(all, std::list<std::string>{"one", "two"});
  goes_round(all, std::pair<int, std::string>{1, "one"});
  goes_round(all, std::pair<int, int>{1, 2});
  goes_round(all, std::tuple<int, double, std::string>{1, 2.5, "x"});
  goes_round(all, std::array<std::string, 2>{"l", "r"});
  goes_round(all, std::filesystem::path("/a/b"));
  goes_round(all, std::chrono::milliseconds(1500));
}

TEST(SpecMessages, OptionalsAndVariantsGoRound) {
  const communicator all = mpi::world().dup("optionals");
  goes_round(all, std::optional<int>());
  goes_round(all, std::optional<int>(5));
  goes_round(all, std::optional<std::string>("text"));
  goes_round(all, std::optional<std::vector<std::string>>());
  goes_round(all, std::vector<std::optional<int>>{1, std::nullopt, 3});
  using either = std::variant<int, std::string, std::vector<double>>;
  goes_round(all, either(1));
  goes_round(all, either(std::string("second")));
  goes_round(all, either(std::vector<double>{1, 2}));
  using plain_either = std::variant<int, double>;
  goes_round(all, plain_either(2.5));
  goes_round(all, std::vector<plain_either>{1, 2.5, 3});
}

TEST(SpecMessages, EmptyOnesGoRound) {
  const communicator all = mpi::world().dup("empty");
  goes_round(all, std::vector<int>());
  goes_round(all, std::string());
  goes_round(all, std::vector<std::string>());
  goes_round(all, std::map<int, int>());
  goes_round(all, std::vector<std::vector<int>>());
  goes_round(all, person());
}

TEST(SpecMessages, MoveOnlyResultsAreReceived) {
  const communicator all = mpi::world().dup("move only");
  goes_round(all, std::make_unique<int>(42));
  goes_round(all, std::make_unique<person>(person{"Ada", 36, {"x"}}));
  goes_round(all, std::unique_ptr<int>());
  std::vector<std::unique_ptr<std::string>> several;
  several.push_back(std::make_unique<std::string>("one"));
  several.push_back(nullptr);
  goes_round(all, several);
}

TEST(SpecMessages, ATypesOwnFormatIsUsedEvenWhereItsBytesWouldDo) {
  const communicator all = mpi::world().dup("own format");
  mpi::request sent = all.isend(own_format{1, 2}, next_of(all));
  const auto came = all.recv<own_format>(before_of(all));
  EXPECT_EQ(came.shown, 1);
  EXPECT_EQ(came.hidden, 0);
  sent.wait();
  static_assert(!mpi::plain<own_format>);
}

TEST(SpecMessages, TextOfAllKindsIsReceivedAsAString) {
  const communicator all = mpi::world().dup("text");
  const int next = next_of(all);
  const std::string kept = "from a view";
  std::vector<mpi::request> sent;
  sent.push_back(all.isend("a literal", next, 0));
  sent.push_back(all.isend(std::string_view(kept), next, 1));
  sent.push_back(all.isend(kept.c_str(), next, 2));
  sent.push_back(all.isend("", next, 3));
  EXPECT_EQ(all.recv<std::string>(before_of(all), 0), "a literal");
  EXPECT_EQ(all.recv<std::string>(before_of(all), 1), "from a view");
  EXPECT_EQ(all.recv<std::string>(before_of(all), 2), "from a view");
  EXPECT_EQ(all.recv<std::string>(before_of(all), 3), "");
  mpi::wait_all(sent);
}

TEST(SpecMessages, SpansAndCArraysAreSentAndReceivedInto) {
  const communicator all = mpi::world().dup("spans");
  const int out[3] = {1, 2, all.rank()};
  int in[3] = {};
  const std::vector<int> list{10, 20, 30, 40};
  std::vector<int> place(4);
  std::vector<mpi::request> sent;
  sent.push_back(all.isend(out, next_of(all), 1));
  sent.push_back(all.isend(std::span(list).subspan(1, 2), next_of(all), 2));
  EXPECT_EQ(all.recv_into(in, before_of(all), 1).count<int>(), 3U);
  EXPECT_EQ(in[2], before_of(all));
  EXPECT_EQ(all.recv_into(std::span(place).last(2), before_of(all), 2).count<int>(), 2U);
  EXPECT_EQ(place, (std::vector<int>{0, 0, 20, 30}));
  mpi::wait_all(sent);
}

TEST(SpecMessages, AMessageMayFillAPartOfTheMemory) {
  const communicator all = mpi::world().dup("part");
  mpi::request sent = all.isend(std::vector<int>{1, 2, 3}, next_of(all), 9);
  std::vector<int> into(10, -1);
  sent.wait();
  const mpi::status came = all.recv_into(into, before_of(all));
  EXPECT_EQ(came.count<int>(), 3U);
  EXPECT_EQ(came.bytes, 3 * sizeof(int));
  EXPECT_EQ(came.tag, 9);
  EXPECT_EQ(came.source, before_of(all));
  EXPECT_EQ(into, (std::vector<int>{1, 2, 3, -1, -1, -1, -1, -1, -1, -1}));
}

// What begins to send something that must be encoded need not keep it.
TEST(SpecMessages, WhatIsEncodedNeedNotStay) {
  const communicator all = mpi::world().dup("need not stay");
  std::vector<mpi::request> sent;
  for (int i = 0; i < 50; ++i) {
    std::map<int, std::string> value{{i, std::string(20'000, static_cast<char>('a' + i % 26))}};
    sent.push_back(i % 2 == 0 ? all.isend(value, next_of(all), i) : all.issend(value, next_of(all), i));
    value.clear();
  }
  for (int i = 49; i >= 0; --i) {
    const auto came = all.recv<std::map<int, std::string>>(before_of(all), i);
    EXPECT_EQ(came.at(i), std::string(20'000, static_cast<char>('a' + i % 26)));
  }
  mpi::wait_all(sent);
}

}  // namespace
