// Requests: waiting in all ways, giving up, being dropped and moved.
#include <tutti/mpi/mpi.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tests/support/ranks.hpp>
#include <utility>
#include <vector>

namespace {

namespace mpi = tutti::mpi;
using mpi::communicator;
using tutti_test::before_of;
using tutti_test::many;
using tutti_test::next_of;

TEST(SpecRequests, NothingUnderWayEndsAtOnce) {
  mpi::request none;
  EXPECT_FALSE(none.active());
  none.wait();
  EXPECT_TRUE(none.test());
  none.cancel();
  mpi::wait_all({});
  EXPECT_TRUE(mpi::wait_all_statuses({}).empty());
  EXPECT_EQ(mpi::wait_any({}).index, 0U);
  EXPECT_TRUE(mpi::test_all({}));
  std::vector<mpi::request> several(3);
  mpi::wait_all(several);
  EXPECT_EQ(mpi::wait_any(several).index, 3U);
  EXPECT_TRUE(mpi::test_all(several));
}

TEST(SpecRequests, AStatusSaysWhatCame) {
  const communicator all = mpi::world().dup("status");
  std::vector<int> into(10);
  mpi::request received = all.irecv_into(into);
  EXPECT_TRUE(received.active());
  all.isend(std::vector<int>{1, 2, 3, 4}, next_of(all), 6).wait();
  const mpi::status came = received.wait();
  EXPECT_EQ(came.source, before_of(all));
  EXPECT_EQ(came.tag, 6);
  EXPECT_EQ(came.count<int>(), 4U);
  EXPECT_FALSE(received.active());
  received.wait();  // once more: nothing is under way
}

TEST(SpecRequests, TestLooksAndDoesNotBlock) {
  const communicator all = mpi::world().dup("test");
  int into = 0;
  mpi::request received = all.irecv_into(into, before_of(all), 1);
  EXPECT_FALSE(received.test());
  EXPECT_TRUE(received.active());
  all.barrier();
  mpi::request sent = all.isend(all.rank(), next_of(all), 1);
  std::optional<mpi::status> came;
  while (!came) came = received.test();
  EXPECT_EQ(came->source, before_of(all));
  EXPECT_EQ(into, before_of(all));
  EXPECT_FALSE(received.active());
  sent.wait();
}

TEST(SpecRequests, WaitAllGivesStatusesInOrder) {
  const communicator all = mpi::world().dup("wait_all");
  const int n = all.size();
  std::vector<std::vector<int>> in(many(n), std::vector<int>(many(n)));
  const std::vector<int> out(many(all.rank() + 1), all.rank());
  std::vector<mpi::request> requests;
  for (int from = n - 1; from >= 0; --from) requests.push_back(all.irecv_into(in[many(from)], from));
  requests.emplace_back();
  for (int to = 0; to < n; ++to) requests.push_back(all.isend(out, to, 40 + all.rank()));
  const std::vector<mpi::status> came = mpi::wait_all_statuses(requests);
  ASSERT_EQ(came.size(), requests.size());
  for (int i = 0; i < n; ++i) {
    const int from = n - 1 - i;
    EXPECT_EQ(came[many(i)].source, from);
    EXPECT_EQ(came[many(i)].tag, 40 + from);
    EXPECT_EQ(came[many(i)].count<int>(), many(from + 1));
    EXPECT_EQ(in[many(from)][0], from);
  }
  for (const auto& one : requests) EXPECT_FALSE(one.active());
}

TEST(SpecRequests, WaitAnyGivesEachOnce) {
  const communicator all = mpi::world().dup("wait_any");
  const int n = all.size();
  std::vector<int> in(many(n), -1);
  std::vector<mpi::request> received;
  for (int from = 0; from < n; ++from) received.push_back(all.irecv_into(in[many(from)], from));
  std::vector<mpi::request> sent;
  const int mine = 100 + all.rank();
  for (int to = 0; to < n; ++to) sent.push_back(all.isend(mine, to));
  std::set<std::size_t> ended;
  for (int i = 0; i < n; ++i) {
    const mpi::ended_request one = mpi::wait_any(received);
    ASSERT_LT(one.index, received.size());
    EXPECT_EQ(one.came.source, static_cast<int>(one.index));
    EXPECT_EQ(in[one.index], 100 + one.came.source);
    EXPECT_FALSE(received[one.index].active());
    ended.insert(one.index);
  }
  EXPECT_EQ(ended.size(), many(n));
  EXPECT_EQ(mpi::wait_any(received).index, received.size());
  mpi::wait_all(sent);
}

TEST(SpecRequests, TestAllTakesAllOrNone) {
  const communicator all = mpi::world().dup("test_all");
  int first = 0;
  int second = 0;
  std::vector<mpi::request> received;
  received.push_back(all.irecv_into(first, before_of(all), 1));
  received.push_back(all.irecv_into(second, before_of(all), 2));
  EXPECT_EQ(all.sendrecv(1, next_of(all), before_of(all), 3, 3), 1);
  all.send(11, next_of(all), 1);
  EXPECT_EQ(all.sendrecv(2, next_of(all), before_of(all), 3, 3), 2);
  EXPECT_FALSE(mpi::test_all(received));
  EXPECT_TRUE(received[0].active());
  EXPECT_TRUE(received[1].active());
  all.barrier();
  all.send(22, next_of(all), 2);
  while (!mpi::test_all(received)) {
  }
  EXPECT_EQ(first, 11);
  EXPECT_EQ(second, 22);
  EXPECT_FALSE(received[0].active());
  EXPECT_TRUE(mpi::test_all(received));
}

TEST(SpecRequests, TheFirstErrorIsThrownWhenAllHaveEnded) {
  if (mpi::world().size() < 2) GTEST_SKIP() << "Open MPI 4.1 says nothing of a message to oneself that is too long";
  const communicator all = mpi::world().dup("first error");
  std::vector<int> small(1);
  std::vector<int> enough(20);
  std::vector<mpi::request> requests;
  requests.push_back(all.irecv_into(small, before_of(all), 1));
  requests.push_back(all.irecv_into(enough, before_of(all), 2));
  all.barrier();
  const std::vector<int> out(20, 7);
  requests.push_back(all.isend(out, next_of(all), 1));
  requests.push_back(all.isend(out, next_of(all), 2));
  EXPECT_THROW(mpi::wait_all(requests), mpi::error);
  EXPECT_EQ(enough, out);
  for (const auto& one : requests) EXPECT_FALSE(one.active());
  // Nothing is left behind.
  EXPECT_EQ(all.sendrecv(3, next_of(all), before_of(all)), 3);
}

TEST(SpecRequests, WaitAnyThrowsWhatEndedInAnError) {
  if (mpi::world().size() < 2) GTEST_SKIP() << "Open MPI 4.1 says nothing of a message to oneself that is too long";
  const communicator all = mpi::world().dup("wait_any error");
  std::vector<char> small(2);
  std::vector<mpi::request> requests;
  requests.push_back(all.irecv_into(small, before_of(all), 1));
  all.barrier();
  all.send(std::vector<char>(10), next_of(all), 1);
  EXPECT_THROW(static_cast<void>(mpi::wait_any(requests)), mpi::error);
  EXPECT_EQ(all.sendrecv(3, next_of(all), before_of(all), 2, 2), 3);
}

TEST(SpecRequests, ACancelledReceiveLeavesTheMessageToAnother) {
  const communicator all = mpi::world().dup("cancel");
  int into = -1;
  mpi::request received = all.irecv_into(into, before_of(all), 1);
  received.cancel();
  received.wait();
  EXPECT_FALSE(received.active());
  all.barrier();
  all.send(5, next_of(all), 1);
  EXPECT_EQ(all.recv<int>(before_of(all), 1), 5);
  EXPECT_EQ(into, -1);
}

TEST(SpecRequests, WhatHasComeIsNotCancelled) {
  const communicator all = mpi::world().dup("cancel too late");
  int into = -1;
  mpi::request received = all.irecv_into(into, before_of(all), 1);
  all.send(5, next_of(all), 1);
  EXPECT_EQ(all.sendrecv(1, next_of(all), before_of(all), 2, 2), 1);  // so the one before is there
  received.cancel();
  const mpi::status came = received.wait();
  EXPECT_EQ(came.source, before_of(all));
  EXPECT_EQ(came.bytes, sizeof(int));
  EXPECT_EQ(into, 5);
}

TEST(SpecRequests, ASendIsNotCancelled) {
  const communicator all = mpi::world().dup("cancel a send");
  const std::vector<int> out(50'000, 3);
  mpi::request sent = all.issend(out, next_of(all), 1);
  sent.cancel();
  all.barrier();
  EXPECT_EQ(all.recv<std::vector<int>>(before_of(all), 1), out);
  sent.wait();
}

TEST(SpecRequests, APendingReceiveThatIsDestroyedIsGivenUp) {
  const communicator all = mpi::world().dup("destroyed");
  int into = -1;
  {
    const mpi::request dropped = all.irecv_into(into, before_of(all), 1);
  }
  {
    std::vector<mpi::request> several;
    for (int i = 0; i < 100; ++i) several.push_back(all.irecv_into(into, mpi::any_source, mpi::any_tag));
  }
  mpi::request overwritten = all.irecv_into(into, before_of(all), 1);
  overwritten = mpi::request();
  all.barrier();
  all.send(9, next_of(all), 1);
  EXPECT_EQ(all.recv<int>(before_of(all), 1), 9);
  EXPECT_EQ(into, -1);
}

TEST(SpecRequests, APendingSendThatIsDestroyedIsWaitedFor) {
  const communicator all = mpi::world().dup("destroyed send");
  std::vector<int> in(100'000);
  mpi::request received = all.irecv_into(in, before_of(all), 1);
  {
    std::vector<int> out(100'000, 4);
    {
      const mpi::request sent = all.issend(out, next_of(all), 1);
    }
    std::fill(out.begin(), out.end(), 0);  // it has ended: nobody reads it any more
  }
  received.wait();
  EXPECT_EQ(in, std::vector<int>(100'000, 4));
  // And objects, whose bytes belong to the request.
  auto coming = all.irecv<std::map<int, std::string>>(before_of(all), 2);
  if (all.rank() % 2 == 0 && all.size() % 2 == 0) {
    {
      const mpi::request sent = all.issend(std::map<int, std::string>{{1, std::string(70'000, 'x')}}, next_of(all), 2);
    }
    EXPECT_EQ(coming.wait().at(1).size(), 70'000U);
  } else {
    mpi::request sent = all.issend(std::map<int, std::string>{{1, std::string(70'000, 'x')}}, next_of(all), 2);
    EXPECT_EQ(coming.wait().at(1).size(), 70'000U);
    sent.wait();
  }
}

TEST(SpecRequests, APendingCollectiveThatIsDestroyedIsWaitedFor) {
  const communicator all = mpi::world().dup("destroyed collective");
  int sum = 0;
  const std::vector<int> mine{1};
  std::vector<int> out(1);
  {
    const mpi::request dropped = all.iallreduce(mine, out, mpi::sum);
  }
  EXPECT_EQ(out[0], all.size());
  {
    const mpi::request dropped = all.ibarrier();
  }
  sum = all.allreduce(2, mpi::sum);
  EXPECT_EQ(sum, 2 * all.size());
}

TEST(SpecRequests, AValueRequestThatIsDroppedBeforeAnythingCameLeavesTheMessage) {
  const communicator all = mpi::world().dup("dropped value");
  {
    const auto dropped = all.irecv<int>(before_of(all), 1);
  }
  {
    const auto dropped = all.irecv<std::vector<int>>(before_of(all), 2);
  }
  {
    const auto dropped = all.irecv<std::map<int, int>>(before_of(all), 3);
  }
  all.barrier();
  std::vector<mpi::request> sent;
  const int five = 5;
  const std::vector<int> six{6};
  sent.push_back(all.isend(five, next_of(all), 1));
  sent.push_back(all.isend(six, next_of(all), 2));
  sent.push_back(all.isend(std::map<int, int>{{7, 7}}, next_of(all), 3));
  EXPECT_EQ(all.recv<int>(before_of(all), 1), 5);
  EXPECT_EQ(all.recv<std::vector<int>>(before_of(all), 2), six);
  EXPECT_EQ((all.recv<std::map<int, int>>(before_of(all), 3)), (std::map<int, int>{{7, 7}}));
  mpi::wait_all(sent);
}

// A value whose length is not known is left to others, also when the message is there already.
TEST(SpecRequests, AValueRequestThatIsDroppedAfterTheMessageCameLeavesIt) {
  const communicator all = mpi::world().dup("dropped late");
  {
    const auto growing = all.irecv<std::vector<int>>(before_of(all), 2);
    all.send(std::vector<int>{6}, next_of(all), 2);
    EXPECT_EQ(all.sendrecv(0, next_of(all), before_of(all), 3, 3), 0);  // so the others are there
  }
  EXPECT_TRUE(all.iprobe(before_of(all), 2));
  if (all.iprobe(before_of(all), 2)) {
    EXPECT_EQ(all.recv<std::vector<int>>(before_of(all), 2), std::vector<int>{6});
  }
}

TEST(SpecRequests, RequestsCanBeMovedWhileUnderWay) {
  const communicator all = mpi::world().dup("moves");
  int into = -1;
  mpi::request first = all.irecv_into(into, before_of(all), 1);
  mpi::request second = std::move(first);
  EXPECT_FALSE(first.active());  // NOLINT(bugprone-use-after-move): it says so
  EXPECT_TRUE(second.active());
  first = std::move(second);
  auto& same = first;
  first = std::move(same);
  EXPECT_TRUE(first.active());
  auto value = all.irecv<int>(before_of(all), 2);
  auto moved_value = std::move(value);
  auto list = all.irecv<std::vector<int>>(before_of(all), 3);
  auto moved_list = std::move(list);
  mpi::request object = all.isend(std::map<int, int>{{1, 2}}, next_of(all), 4);
  mpi::request moved_object = std::move(object);
  all.send(1, next_of(all), 1);
  all.send(2, next_of(all), 2);
  all.send(std::vector<int>{3}, next_of(all), 3);
  first.wait();
  EXPECT_EQ(into, 1);
  EXPECT_EQ(moved_value.wait(), 2);
  EXPECT_EQ(moved_list.wait(), std::vector<int>{3});
  EXPECT_EQ((all.recv<std::map<int, int>>(before_of(all), 4).at(1)), 2);
  moved_object.wait();
}

TEST(SpecRequests, ARequestMayOutliveTheHandleItWasMadeWith) {
  const communicator all = mpi::world().dup("outlived");
  const std::vector<int> out(30'000, 2);
  mpi::request sent = communicator(all).isend(out, next_of(all));
  auto coming = communicator(all).irecv<std::vector<int>>(before_of(all));
  EXPECT_EQ(coming.wait(), out);
  sent.wait();
}

}  // namespace
