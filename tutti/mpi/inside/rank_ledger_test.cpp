// What a rank knows of itself: what is on its way, what is posted, and when it says nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <thread>
#include <tutti/mpi/inside/rank_ledger.hpp>
#include <tutti/mpi/status.hpp>
#include <utility>
#include <vector>

namespace {

using testing::HasSubstr;
using tutti::mpi::any_source;
using tutti::mpi::any_tag;
using tutti::mpi::no_rank;
using tutti::mpi::detail::awaited;
using tutti::mpi::detail::comm_state;
using tutti::mpi::detail::ended_by;
using tutti::mpi::detail::most_buffered;
using tutti::mpi::detail::rank_call;
using tutti::mpi::detail::rank_ledger;
using tutti::mpi::detail::rank_need;
using tutti::mpi::detail::rank_question;
using tutti::mpi::detail::way_out;
using counts = std::vector<std::uint64_t>;
using ranks = std::vector<std::int32_t>;

// Rank 1 of four, and ranks 3, 1 and 2 of them as a communicator of their own.
struct RankLedger : testing::Test {
  RankLedger() {
    world.size = 4;
    world.rank = 1;
    world.name = "world";
    world.world_ranks = {0, 1, 2, 3};
    world.watch_id = 1;
    part.size = 3;
    part.rank = 1;
    part.name = "part";
    part.world_ranks = {3, 1, 2};
    part.watch_id = 9;
  }
  ~RankLedger() override { part.size = world.size = 0; }

  std::uint64_t wait(const awaited& what, const char* call = "call") {
    return ledger.begin_call(call, {&what, 1}, true, {"a.cpp", 3, "f"}, 77);
  }
  std::vector<rank_call> calls() const { return ledger.look().report.calls; }
  bool answer(const rank_question& asked) const { return ledger.answer({&asked, 1}).second.at(0); }

  comm_state world, part;
  rank_ledger ledger{1, 4};
};

awaited message(const comm_state& where, int from, int tag) {
  return {.by = ended_by::message, .where = &where, .peer = from, .tag = tag};
}
awaited receiver(const comm_state& where, int to, int tag, std::int64_t standard = -1) {
  return {.by = ended_by::receiver, .where = &where, .peer = to, .tag = tag, .standard = standard};
}

TEST_F(RankLedger, RunsWhileNothingIsCalled) {
  EXPECT_TRUE(calls().empty());
  const auto id = wait(message(world, 0, 5));
  EXPECT_EQ(calls().size(), 1U);
  EXPECT_EQ(ledger.waiting_threads(), std::vector<long>{77});
  EXPECT_TRUE(ledger.waits_in_call(77));
  ledger.end_call(id);
  EXPECT_TRUE(calls().empty());
  EXPECT_FALSE(ledger.waits_in_call(77));
}

TEST_F(RankLedger, TheEpochChangesWithEverything) {
  std::uint64_t before = ledger.epoch();
  const auto changed = [&] { return std::exchange(before, ledger.epoch()) != ledger.epoch(); };
  const auto call = wait(message(world, 0, 5));
  EXPECT_TRUE(changed());
  ledger.doubt_call(call);
  EXPECT_TRUE(changed());
  ledger.end_call(call);
  EXPECT_TRUE(changed());
  const auto request = ledger.begin_request(message(world, 0, 5));
  EXPECT_TRUE(changed());
  ledger.doubt_request(request);
  EXPECT_TRUE(changed());
  ledger.end_request(request);
  EXPECT_TRUE(changed());
  ledger.sent(world, 0, 1);
  EXPECT_TRUE(changed());
  ledger.received(world, 0, 1);
  EXPECT_TRUE(changed());
  ledger.arrived(world, false);
  EXPECT_TRUE(changed());
  ledger.given_away(world);
  EXPECT_TRUE(changed());
  ledger.end_of_rank({});
  EXPECT_TRUE(changed());
  static_cast<void>(ledger.look());
  EXPECT_FALSE(changed());
}

TEST_F(RankLedger, AReceiveSaysWhatItHasHad) {
  ledger.received(world, 0, 5);
  ledger.received(world, 0, 5);
  ledger.received(world, 0, 6);
  ledger.received(world, 3, 5);
  ledger.received(part, 0, 5);  // another communicator
  wait(message(world, 0, 5), "recv");
  wait(message(world, any_source, any_tag), "recv");
  const auto said = calls();
  ASSERT_EQ(said.size(), 2U);
  EXPECT_EQ(said[0].text, "recv from 0, tag 5, on world");
  EXPECT_EQ(said[0].where, "a.cpp:3 (f)");
  EXPECT_EQ(said[0].needs.at(0).ranks, ranks{0});
  EXPECT_EQ(said[0].needs.at(0).received, counts{2});
  EXPECT_EQ(said[1].text, "recv from any rank, any tag, on world");
  EXPECT_EQ(said[1].needs.at(0).ranks, (ranks{0, 1, 2, 3}));
  EXPECT_EQ(said[1].needs.at(0).received, (counts{3, 0, 0, 1}));
}

TEST_F(RankLedger, RanksAreThoseOfTheWorld) {
  wait(message(part, 0, 5), "recv");
  EXPECT_EQ(calls().at(0).text, "recv from 0 (rank 3 of world), tag 5, on part");
  EXPECT_EQ(calls().at(0).needs.at(0).ranks, ranks{3});
}

TEST_F(RankLedger, SaysWhetherAMessageIsOnItsWay) {
  ledger.sent(world, 2, 5);
  ledger.sent(world, 2, 6);
  EXPECT_TRUE(answer({way_out::message, 2, 1, 5, 0}));
  EXPECT_FALSE(answer({way_out::message, 2, 1, 5, 1}));  // it has had it
  EXPECT_FALSE(answer({way_out::message, 2, 1, 7, 0}));
  EXPECT_FALSE(answer({way_out::message, 3, 1, 5, 0}));
  EXPECT_FALSE(answer({way_out::message, 2, 9, 5, 0}));
  EXPECT_TRUE(answer({way_out::message, 2, 1, any_tag, 1}));
  EXPECT_FALSE(answer({way_out::message, 2, 1, any_tag, 2}));
}

TEST_F(RankLedger, SendsAreNumbered) {
  ledger.sent(world, 2, 5);
  const auto begun = ledger.begin_request(receiver(world, 2, 5));
  ledger.sent(world, 2, 5);
  wait(receiver(world, 2, 5), "ssend");
  wait({.request = begun}, "wait");
  const auto said = calls();
  ASSERT_EQ(said.size(), 2U);
  EXPECT_EQ(said[0].needs.at(0).by, way_out::receiver);
  EXPECT_EQ(said[0].needs.at(0).number, 3U);
  EXPECT_EQ(said[1].needs.at(0).number, 2U);
}

TEST_F(RankLedger, SaysWhetherASendWasReceivedOrWillBe) {
  const rank_question third{way_out::receiver, 2, 1, 5, 3};
  ledger.received(world, 2, 5);
  ledger.received(world, 2, 5);
  EXPECT_FALSE(answer(third));
  const auto posted = ledger.begin_request(message(world, any_source, 5));
  EXPECT_TRUE(answer(third));
  ledger.end_request(posted);
  EXPECT_FALSE(answer(third));
  for (const awaited& other : {message(world, 3, 5), message(world, 2, 6), message(part, 2, 5)}) {
    const auto id = ledger.begin_request(other);
    EXPECT_FALSE(answer(third));
    ledger.end_request(id);
  }
  const auto call = wait(message(world, 2, any_tag));
  EXPECT_TRUE(answer(third));
  ledger.end_call(call);
  awaited probe = message(world, 2, 5);
  probe.probes = true;
  wait(probe);
  EXPECT_FALSE(answer(third));
  ledger.received(world, 2, 5);
  EXPECT_TRUE(answer(third));
}

TEST_F(RankLedger, SendsOfSeveralThreadsHaveNoOrder) {
  ledger.sent(world, 2, 5);
  std::thread([&] { ledger.sent(world, 2, 5); }).join();
  wait(receiver(world, 2, 5));
  EXPECT_TRUE(calls().empty());
}

TEST_F(RankLedger, AShortSendMayEndByItself) {
  ledger.sent(world, 2, 5);
  const auto id = wait(receiver(world, 2, 5, most_buffered));
  EXPECT_TRUE(calls().empty());
  ledger.end_call(id);
  wait(receiver(world, 2, 5, most_buffered + 1));
  EXPECT_EQ(calls().size(), 1U);
  EXPECT_EQ(ledger.look().doubtful, most_buffered + 1);
}

TEST_F(RankLedger, ManyTagsAreOne) {
  constexpr int many = static_cast<int>(rank_ledger::most_tags) + 5;
  for (int tag = 0; tag < many; ++tag) {
    ledger.sent(world, 2, tag);
    ledger.received(world, 2, tag);
  }
  EXPECT_TRUE(answer({way_out::message, 2, 1, 3, 1}));  // perhaps
  EXPECT_FALSE(answer({way_out::message, 2, 1, 3, static_cast<std::uint64_t>(many)}));
  EXPECT_TRUE(answer({way_out::receiver, 2, 1, 3, 2}));
  wait(receiver(world, 2, 3));
  EXPECT_TRUE(calls().empty());
}

TEST_F(RankLedger, CollectivesAreCountedByKind) {
  ledger.arrived(world, false);
  ledger.arrived(world, false);
  ledger.arrived(world, true);
  wait({.by = ended_by::everyone, .where = &world}, "barrier");
  const rank_need need = calls().at(0).needs.at(0);
  EXPECT_EQ(calls().at(0).text, "barrier on world");
  EXPECT_EQ(need.ranks, (ranks{0, 2, 3}));
  EXPECT_EQ(need.number, 2U);
  EXPECT_TRUE(answer({way_out::everyone, -1, need.communicator, -1, 2}));
  EXPECT_FALSE(answer({way_out::everyone, -1, need.communicator, -1, 3}));
  EXPECT_FALSE(answer({way_out::everyone, -1, 1234, -1, 1}));
  const auto begun = ledger.begin_request({.by = ended_by::everyone, .where = &world, .nonblocking = true});
  wait({.request = begun}, "wait");
  const rank_need other = calls().at(1).needs.at(0);
  EXPECT_NE(other.communicator, need.communicator);
  EXPECT_TRUE(answer({way_out::everyone, -1, other.communicator, -1, 1}));
  EXPECT_FALSE(answer({way_out::everyone, -1, other.communicator, -1, 2}));
}

TEST_F(RankLedger, WhatIsNotKnownMayEnd) {
  comm_state foreign;
  foreign.world_ranks = {0, 1, 2, 3};
  for (const awaited& unknown : {awaited{}, message(world, no_rank, 5), message(foreign, 0, 5)}) {
    const auto known = wait(message(world, 0, 5));
    const auto id = wait(unknown);
    EXPECT_TRUE(calls().empty());
    ledger.end_call(id);
    EXPECT_EQ(calls().size(), 1U);
    ledger.doubt_call(known);
    EXPECT_TRUE(calls().empty());
    ledger.end_call(known);
  }
  // All must end, and one never does; or one is enough, and one may.
  const awaited both[] = {message(world, 0, 5), awaited{}};
  const auto all = ledger.begin_call("wait_all", both, true, {}, 77);
  EXPECT_EQ(calls().size(), 1U);
  ledger.end_call(all);
  ledger.begin_call("wait_any", both, false, {}, 77);
  EXPECT_TRUE(calls().empty());
}

TEST_F(RankLedger, ACommunicatorThatOthersUseIsUnknown) {
  wait(message(world, 0, 5));
  ledger.given_away(world);
  EXPECT_TRUE(calls().empty());
  EXPECT_TRUE(answer({way_out::message, 2, 1, 5, 0}));
}

TEST_F(RankLedger, AProbeKeepsWhatItBeganWith) {
  awaited probe = message(world, 0, 5);
  probe.probes = true;
  wait(probe, "probe");
  ledger.received(world, 0, 5);  // by another thread
  EXPECT_EQ(calls().at(0).needs.at(0).received, counts{0});
}

TEST_F(RankLedger, IdleThreadsWaitForNothing) {
  ledger.begin_call("", {}, true, {}, 78);
  EXPECT_EQ(ledger.waiting_threads(), std::vector<long>{78});
  EXPECT_FALSE(ledger.waits_in_call(78));
  EXPECT_TRUE(calls().empty());
}

TEST_F(RankLedger, TheEndWaitsForAllOthers) {
  const rank_question asked{way_out::everyone, -1, tutti::mpi::detail::end_of_mpi, -1, 1};
  EXPECT_FALSE(answer(asked));
  ledger.end_of_rank({"main.cpp", 8, "main"});
  EXPECT_TRUE(answer(asked));
  ASSERT_EQ(calls().size(), 1U);
  EXPECT_THAT(calls()[0].text, HasSubstr("the end of its mpi::environment"));
  EXPECT_EQ(calls()[0].where, "main.cpp:8 (main)");
  EXPECT_EQ(calls()[0].needs.at(0).ranks, (ranks{0, 2, 3}));
}

TEST(UsedByThread, GoesUpWithWork) {
  const auto self = tutti::mpi::detail::this_thread_number();
  const auto before = tutti::mpi::detail::used_by_this_thread();
  while (tutti::mpi::detail::used_by_this_thread() < before + 1'000'000) {
  }
  EXPECT_GE(tutti::mpi::detail::used_by(self).value_or(0), before + 1'000'000);
  constexpr long nobody = 4194305;  // beyond the largest number
  EXPECT_FALSE(tutti::mpi::detail::used_by(nobody).has_value());
}

}  // namespace
