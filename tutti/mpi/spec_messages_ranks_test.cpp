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
using tutti_test::many;
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

TEST(SpecMessages, TagsChooseWhichMessageIsReceived) {
  const communicator all = mpi::world().dup("tags");
  std::vector<mpi::request> sent;
  std::vector<int> values(20);
  std::iota(values.begin(), values.end(), 100);
  for (int tag = 0; tag < 20; ++tag) sent.push_back(all.isend(values[many(tag)], next_of(all), tag));
  for (int tag = 19; tag >= 0; --tag) EXPECT_EQ(all.recv<int>(before_of(all), tag), 100 + tag);
  mpi::wait_all(sent);
  // The largest that the standard promises.
  EXPECT_EQ(all.sendrecv(5, next_of(all), before_of(all), 32767, 32767), 5);
}

TEST(SpecMessages, WildcardsTakeFromAnyoneWithAnyTag) {
  const communicator all = mpi::world().dup("wildcards");
  const int n = all.size();
  const std::vector<int> mine{all.rank(), 3 * all.rank()};
  std::vector<mpi::request> sent;
  for (int to = 0; to < n; ++to) sent.push_back(all.isend(mine, to, 10 + all.rank()));
  std::set<int> from;
  for (int i = 0; i < n; ++i) {
    mpi::status about;
    const auto came = all.recv<std::vector<int>>(mpi::any_source, mpi::any_tag, &about);
    EXPECT_EQ(about.tag, 10 + about.source);
    EXPECT_EQ(about.count<int>(), 2U);
    EXPECT_EQ(came, (std::vector<int>{about.source, 3 * about.source}));
    from.insert(about.source);
  }
  EXPECT_EQ(from.size(), many(n));
  mpi::wait_all(sent);
}

// Values, memory and objects, of lengths below and above what goes at once, all with one tag.
TEST(SpecMessages, MessagesOfOneSenderComeInOrder) {
  const communicator all = mpi::world().dup("order");
  constexpr int count = 300;
  std::vector<std::vector<int>> kept;
  for (int i = 0; i < count; ++i) kept.emplace_back(i % 7 == 0 ? 20'000 : 3, i);
  std::vector<mpi::request> sent;
  for (int i = 0; i < count; ++i) {
    if (i % 3 == 2) {
      sent.push_back(all.isend(std::map<int, std::string>{{i, std::string(many(i) * 50, 'x')}}, next_of(all)));
    } else {
      sent.push_back(i % 2 == 0 ? all.isend(kept[many(i)], next_of(all)) : all.issend(kept[many(i)], next_of(all)));
    }
  }
  for (int i = 0; i < count; ++i) {
    const int from = i % 5 == 0 ? mpi::any_source : before_of(all);
    if (i % 3 == 2) {
      const auto came = all.recv<std::map<int, std::string>>(from);
      ASSERT_EQ(came.begin()->first, i);
      EXPECT_EQ(came.begin()->second.size(), many(i) * 50);
    } else if (i % 4 == 0) {
      std::vector<int> into(20'000, -1);
      EXPECT_EQ(all.recv_into(into, from).count<int>(), kept[many(i)].size());
      EXPECT_EQ(into[0], i);
    } else {
      EXPECT_EQ(all.recv<std::vector<int>>(from), kept[many(i)]);
    }
  }
  mpi::wait_all(sent);
}

TEST(SpecMessages, ReceivesThatWereBegunAreFilledInOrder) {
  const communicator all = mpi::world().dup("begun in order");
  std::vector<int> into(100, -1);
  std::vector<mpi::request> received;
  for (int& one : into) received.push_back(all.irecv_into(one, before_of(all), 1));
  for (int i = 0; i < 100; ++i) all.send(i, next_of(all), 1);
  mpi::wait_all(received);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(into[many(i)], i);
}

TEST(SpecMessages, ProbesSayWhatIsThereAndLeaveIt) {
  const communicator all = mpi::world().dup("probe");
  EXPECT_FALSE(all.iprobe());
  EXPECT_FALSE(all.iprobe(before_of(all), 3));
  all.barrier();
  mpi::request sent = all.isend(std::vector<short>{1, 2, 3}, next_of(all), 3);
  const mpi::status there = all.probe();
  EXPECT_EQ(there.source, before_of(all));
  EXPECT_EQ(there.tag, 3);
  EXPECT_EQ(there.count<short>(), 3U);
  const auto again = all.iprobe(before_of(all), 3);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->bytes, 6U);
  EXPECT_FALSE(all.iprobe(before_of(all), 4));
  std::vector<short> into(there.count<short>());
  all.recv_into(into, there.source, there.tag);
  EXPECT_EQ(into, (std::vector<short>{1, 2, 3}));
  EXPECT_FALSE(all.iprobe());
  sent.wait();
}

TEST(SpecMessages, IprobeFindsItInTheEnd) {
  const communicator all = mpi::world().dup("iprobe");
  mpi::request sent = all.issend(std::string(50'000, 'p'), next_of(all), 2);
  std::optional<mpi::status> there;
  while (!there) there = all.iprobe(mpi::any_source, 2);
  EXPECT_EQ(there->bytes, 50'000U);
  EXPECT_EQ(all.recv<std::string>(there->source, 2).size(), 50'000U);
  sent.wait();
}

TEST(SpecMessages, ASynchronousSendEndsOnlyOnceTheReceiveHasBegun) {
  const communicator all = mpi::world().dup("ssend");
  const int value = 5;
  mpi::request sent = all.issend(value, next_of(all), 1);
  all.barrier();
  EXPECT_FALSE(sent.test());
  all.barrier();
  EXPECT_EQ(all.recv<int>(before_of(all), 1), 5);
  sent.wait();
  EXPECT_FALSE(sent.active());
}

TEST(SpecMessages, SendrecvToSelf) {
  const communicator all = mpi::world().dup("sendrecv to self");
  const int me = all.rank();
  EXPECT_EQ(all.sendrecv(7, me, me), 7);
  EXPECT_EQ(all.sendrecv(std::string("mine"), me, me, 4, 4), "mine");
  EXPECT_EQ(all.sendrecv(std::map<int, int>{{1, 2}}, me, me), (std::map<int, int>{{1, 2}}));
  const std::vector<int> out{1, 2, 3};
  std::vector<int> in(3);
  EXPECT_EQ(all.sendrecv_into(out, me, in, me).count<int>(), 3U);
  EXPECT_EQ(in, out);
}

TEST(SpecMessages, SendrecvWithNeighbours) {
  const communicator all = mpi::world().dup("sendrecv");
  const int next = next_of(all);
  const int before = before_of(all);
  EXPECT_EQ(all.sendrecv(all.rank(), next, before), before);
  EXPECT_EQ(all.sendrecv(all.rank(), before, next), next);
  // Large, so that no send goes at once.
  EXPECT_EQ(all.sendrecv(std::vector<int>(200'000, all.rank()), next, before), std::vector<int>(200'000, before));
  EXPECT_EQ(all.sendrecv(std::vector<std::string>{std::string(200'000, 'a'), std::to_string(all.rank())}, next, before),
            (std::vector<std::string>{std::string(200'000, 'a'), std::to_string(before)}));
  // Another type comes than goes.
  mpi::status about;
  if (all.size() == 2) {
    if (all.rank() == 0) {
      EXPECT_EQ((all.sendrecv<std::string>(5, 1, 1, 8, 9, &about)), "text");
    } else {
      EXPECT_EQ((all.sendrecv<int>("text", 0, 0, 9, 8, &about)), 5);
    }
    EXPECT_EQ(about.source, 1 - all.rank());
  }
  std::vector<double> out(150'000, all.rank());
  std::vector<double> in(150'000);
  const mpi::status came = all.sendrecv_into(out, next, in, before, 5, 5);
  EXPECT_EQ(came.source, before);
  EXPECT_EQ(came.tag, 5);
  EXPECT_EQ(came.count<double>(), in.size());
  EXPECT_EQ(in, std::vector<double>(150'000, before));
  int one = -1;
  all.sendrecv_into(all.rank(), next, one, before);
  EXPECT_EQ(one, before);
}

TEST(SpecMessages, SendrecvAlongALineHasEnds) {
  const communicator all = mpi::world().dup("line");
  const int next = all.rank() + 1 < all.size() ? all.rank() + 1 : mpi::no_rank;
  const int before = all.rank() > 0 ? all.rank() - 1 : mpi::no_rank;
  mpi::status about;
  EXPECT_EQ((all.sendrecv<int>(all.rank() + 1, next, before, 0, mpi::any_tag, &about)), all.rank());
  EXPECT_EQ(about.source, before);
  EXPECT_EQ(all.sendrecv(std::vector<int>{all.rank()}, next, before),
            before == mpi::no_rank ? std::vector<int>() : std::vector<int>{before});
  EXPECT_EQ(all.sendrecv(std::map<int, int>{{all.rank(), 1}}, next, before).size(), before == mpi::no_rank ? 0U : 1U);
  int edge = -7;
  const mpi::status came = all.sendrecv_into(all.rank(), next, edge, before);
  EXPECT_EQ(came.source, before);
  EXPECT_EQ(edge, before == mpi::no_rank ? -7 : before);
  EXPECT_EQ(came.bytes, before == mpi::no_rank ? 0U : sizeof(int));
}

TEST(SpecMessages, WhatIsSentToNoRankGoesNowhere) {
  const communicator all = mpi::world().dup("to no rank");
  all.send(1, mpi::no_rank);
  all.ssend(1, mpi::no_rank);
  all.send(std::vector<int>{1}, mpi::no_rank);
  all.ssend(std::map<int, int>{{1, 1}}, mpi::no_rank);
  all.isend(std::string("x"), mpi::no_rank).wait();
  all.issend(person(), mpi::no_rank).wait();
  all.barrier();
  EXPECT_FALSE(all.iprobe());
}

TEST(SpecMessages, ReceivesFromNoRankEndAtOnceWithNothing) {
  const communicator all = mpi::world().dup("from no rank");
  int one = -5;
  EXPECT_EQ(all.recv_into(one, mpi::no_rank).source, mpi::no_rank);
  EXPECT_EQ(all.recv_into(one, mpi::no_rank).bytes, 0U);
  EXPECT_EQ(all.irecv_into(one, mpi::no_rank).wait().source, mpi::no_rank);
  EXPECT_EQ(one, -5);
  mpi::status about{.source = 77, .tag = 77, .bytes = 77};
  EXPECT_EQ(all.recv<int>(mpi::no_rank, 3, &about), 0);
  EXPECT_EQ(about.source, mpi::no_rank);
  EXPECT_EQ(about.bytes, 0U);
  EXPECT_TRUE(all.recv<std::vector<int>>(mpi::no_rank).empty());
  EXPECT_TRUE(all.recv<std::string>(mpi::no_rank).empty());
  EXPECT_EQ(all.irecv<int>(mpi::no_rank).wait(), 0);
  EXPECT_TRUE(all.irecv<std::vector<int>>(mpi::no_rank).wait().empty());
  auto coming = all.irecv<std::vector<int>>(mpi::no_rank);
  std::optional<std::vector<int>> came;
  while (!came) came = coming.test();
  EXPECT_TRUE(came->empty());
}

TEST(SpecMessages, ReceivesOfObjectsFromNoRankEndAtOnceWithNothing) {
  const communicator all = mpi::world().dup("objects from no rank");
  EXPECT_TRUE((all.recv<std::map<int, int>>(mpi::no_rank).empty()));
  EXPECT_EQ(all.recv<person>(mpi::no_rank), person());
  EXPECT_TRUE((all.irecv<std::map<int, int>>(mpi::no_rank).wait().empty()));
  auto coming = all.irecv<std::map<int, int>>(mpi::no_rank);
  std::optional<std::map<int, int>> came;
  while (!came) came = coming.test();
  EXPECT_TRUE(came->empty());
}

TEST(SpecMessages, ProbesOfNoRankFindNothingAtOnce) {
  const communicator all = mpi::world().dup("probe no rank");
  EXPECT_EQ(all.probe(mpi::no_rank).source, mpi::no_rank);
  EXPECT_EQ(all.probe(mpi::no_rank).bytes, 0U);
}

// The C API on the other side may be any program's: what is plain has no header of ours.
TEST(SpecMessages, PlainMessagesHaveTheLengthOfTheirBytes) {
  const communicator all = mpi::world().dup("bytes");
  const std::vector<particle> list(5);
  std::vector<mpi::request> sent;
  sent.push_back(all.isend(list, next_of(all), 1));
  sent.push_back(all.isend("12345", next_of(all), 2));
  EXPECT_EQ(all.probe(before_of(all), 1).bytes, 5 * sizeof(particle));
  EXPECT_EQ(all.probe(before_of(all), 2).bytes, 5U);
  EXPECT_EQ(all.recv<std::vector<particle>>(before_of(all), 1), list);
  // The receiver may take the same bytes as another plain type.
  EXPECT_EQ((all.recv<std::array<char, 5>>(before_of(all), 2)), (std::array{'1', '2', '3', '4', '5'}));
  mpi::wait_all(sent);
}

}  // namespace
