// Which message a receive gets: tags, wildcards, order, probes, neighbours and the rank that is none.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <tests/support/ranks.hpp>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::before_of;
using tutti_test::many;
using tutti_test::next_of;
using tutti_test::particle;
using tutti_test::person;

TEST(SpecMatching, TagsChooseWhichMessageIsReceived) {
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

TEST(SpecMatching, WildcardsTakeFromAnyoneWithAnyTag) {
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
TEST(SpecMatching, MessagesOfOneSenderComeInOrder) {
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

TEST(SpecMatching, ReceivesThatWereBegunAreFilledInOrder) {
  const communicator all = mpi::world().dup("begun in order");
  std::vector<int> into(100, -1);
  std::vector<mpi::request> received;
  for (int& one : into) received.push_back(all.irecv_into(one, before_of(all), 1));
  for (int i = 0; i < 100; ++i) all.send(i, next_of(all), 1);
  mpi::wait_all(received);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(into[many(i)], i);
}

TEST(SpecMatching, ProbesSayWhatIsThereAndLeaveIt) {
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

TEST(SpecMatching, IprobeFindsItInTheEnd) {
  const communicator all = mpi::world().dup("iprobe");
  mpi::request sent = all.issend(std::string(50'000, 'p'), next_of(all), 2);
  std::optional<mpi::status> there;
  while (!there) there = all.iprobe(mpi::any_source, 2);
  EXPECT_EQ(there->bytes, 50'000U);
  EXPECT_EQ(all.recv<std::string>(there->source, 2).size(), 50'000U);
  sent.wait();
}

TEST(SpecMatching, ASynchronousSendEndsOnlyOnceTheReceiveHasBegun) {
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

TEST(SpecMatching, SendrecvToSelf) {
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

TEST(SpecMatching, SendrecvWithNeighbours) {
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

TEST(SpecMatching, SendrecvAlongALineHasEnds) {
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

TEST(SpecMatching, WhatIsSentToNoRankGoesNowhere) {
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

TEST(SpecMatching, ReceivesFromNoRankEndAtOnceWithNothing) {
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

TEST(SpecMatching, ReceivesOfObjectsFromNoRankEndAtOnceWithNothing) {
  const communicator all = mpi::world().dup("objects from no rank");
  EXPECT_TRUE((all.recv<std::map<int, int>>(mpi::no_rank).empty()));
  EXPECT_EQ(all.recv<person>(mpi::no_rank), person());
  EXPECT_TRUE((all.irecv<std::map<int, int>>(mpi::no_rank).wait().empty()));
  auto coming = all.irecv<std::map<int, int>>(mpi::no_rank);
  std::optional<std::map<int, int>> came;
  while (!came) came = coming.test();
  EXPECT_TRUE(came->empty());
}

TEST(SpecMatching, ProbesOfNoRankFindNothingAtOnce) {
  const communicator all = mpi::world().dup("probe no rank");
  EXPECT_EQ(all.probe(mpi::no_rank).source, mpi::no_rank);
  EXPECT_EQ(all.probe(mpi::no_rank).bytes, 0U);
}

// The C API on the other side may be any program's: what is plain has no header of ours.
TEST(SpecMatching, PlainMessagesHaveTheLengthOfTheirBytes) {
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
