// The judge: what is asked back before anything is believed, and what is not believed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <tutti/mpi/inside/rank_judge.hpp>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using tutti::mpi::detail::rank_answer;
using tutti::mpi::detail::rank_ask;
using tutti::mpi::detail::rank_call;
using tutti::mpi::detail::rank_judge;
using tutti::mpi::detail::rank_need;
using tutti::mpi::detail::rank_news;
using tutti::mpi::detail::way_out;

const rank_judge::time_point start{};

rank_news waits(std::uint64_t epoch, std::int32_t from) {
  return {{epoch, {{"recv", "a.cpp:1", false, {{way_out::message, 1, 7, 0, {from}, {0}}}}}}, false, false};
}
rank_news in_barrier(std::uint64_t epoch, const std::vector<std::int32_t>& others) {
  return {{epoch, {{"barrier", "b.cpp:2", false, {{way_out::everyone, 1, -1, 1, others, {}}}}}}, false, false};
}
rank_news runs(std::uint64_t epoch) { return {{epoch, {}}, false, false}; }
rank_answer answer(const std::pair<std::int32_t, rank_ask>& asked, std::uint64_t epoch, std::uint8_t done) {
  return {asked.second.round, epoch, std::vector<std::uint8_t>(asked.second.questions.size(), done)};
}

struct RankJudge : testing::Test {
  rank_judge judge{3, 10s};
  std::vector<std::pair<std::int32_t, rank_ask>> suspect() {
    judge.hear(0, waits(5, 1), start);
    EXPECT_TRUE(judge.ask(start).empty());
    judge.hear(1, waits(6, 0), start);
    auto asked = judge.ask(start);
    EXPECT_EQ(asked.size(), 2U);
    EXPECT_TRUE(judge.ask(start).empty());  // one round at a time
    return asked;
  }
};

TEST_F(RankJudge, ADeadlockIsOneWhenAllStoodStill) {
  const auto asked = suspect();
  judge.hear(0, answer(asked[0], 5, 0));
  EXPECT_FALSE(judge.verdict());
  judge.hear(1, answer(asked[1], 6, 0));
  ASSERT_TRUE(judge.verdict());
  EXPECT_THAT(*judge.verdict(), HasSubstr("ranks 0 and 1 wait for each other"));
  EXPECT_TRUE(judge.ask(start).empty());
}

TEST_F(RankJudge, AMessageOnItsWayIsNone) {
  const auto asked = suspect();
  judge.hear(0, answer(asked[0], 5, 1));
  judge.hear(1, answer(asked[1], 6, 0));
  EXPECT_FALSE(judge.verdict());
  EXPECT_TRUE(judge.ask(start).empty());  // nothing new
}

TEST_F(RankJudge, WhoHasMovedIsNotBelieved) {
  auto asked = suspect();
  judge.hear(0, answer(asked[0], 0, 0));
  judge.hear(1, answer(asked[1], 6, 0));
  EXPECT_FALSE(judge.verdict());
  // It blocks again, and says so: asked anew.
  judge.hear(0, runs(7), start);
  judge.hear(0, waits(8, 1), start);
  asked = judge.ask(start);
  ASSERT_EQ(asked.size(), 2U);
  judge.hear(0, answer(asked[0], 8, 0));
  judge.hear(1, answer(asked[1], 6, 0));
  EXPECT_TRUE(judge.verdict());
}

TEST_F(RankJudge, AReportThatIsNewerThanTheQuestionIsNotBelieved) {
  const auto asked = suspect();
  judge.hear(0, waits(8, 1), start);
  judge.hear(0, answer(asked[0], 8, 0));
  judge.hear(1, answer(asked[1], 6, 0));
  EXPECT_FALSE(judge.verdict());
  EXPECT_EQ(judge.ask(start).size(), 2U);
}

TEST_F(RankJudge, AMoveAfterTheAnswerIsSeen) {
  const auto asked = suspect();
  judge.hear(0, answer(asked[0], 5, 0));
  judge.hear(0, runs(9), start);
  judge.hear(1, answer(asked[1], 6, 0));
  EXPECT_FALSE(judge.verdict());
}

TEST_F(RankJudge, AnswersOfOtherRoundsDoNotCount) {
  const auto asked = suspect();
  rank_answer old = answer(asked[0], 5, 0);
  old.round += 1;
  judge.hear(0, old);
  judge.hear(1, answer(asked[1], 6, 0));
  judge.hear(2, answer(asked[1], 6, 0));
  EXPECT_FALSE(judge.verdict());
  judge.hear(0, answer(asked[0], 5, 0));
  EXPECT_TRUE(judge.verdict());
}

TEST_F(RankJudge, ASendInDoubtWaitsUntilAllHaveTried) {
  rank_news first = waits(5, 1), second = waits(6, 0);
  first.is_doubtful = first.has_worked = true;
  judge.hear(0, first, start);
  judge.hear(1, second, start);
  EXPECT_TRUE(judge.ask(start).empty());
  second.report.epoch = 7;
  second.has_worked = true;
  judge.hear(1, second, start);
  EXPECT_EQ(judge.ask(start).size(), 2U);
}

TEST_F(RankJudge, ACollectiveThatIsLateIsToldOnce) {
  judge.hear(0, in_barrier(5, {1, 2}), start);
  judge.hear(1, in_barrier(6, {0, 2}), start + 1s);
  EXPECT_TRUE(judge.ask(start + 9s).empty());
  const auto asked = judge.ask(start + 10s);
  ASSERT_EQ(asked.size(), 3U);
  EXPECT_TRUE(judge.take_warnings().empty());
  judge.hear(0, answer(asked[0], 5, 1));
  judge.hear(1, answer(asked[1], 6, 1));
  judge.hear(2, answer(asked[2], 0, 0));
  EXPECT_EQ(judge.take_warnings(),
            std::vector<std::string>{"rank 2 has not come to a collective call for 10 s, where others wait:\n"
                                     "  rank 0: barrier at b.cpp:2\n  rank 1: barrier at b.cpp:2\n  rank 2 runs\n"});
  EXPECT_FALSE(judge.verdict());
  EXPECT_TRUE(judge.ask(start + 100s).empty());
  EXPECT_TRUE(judge.take_warnings().empty());
}

TEST_F(RankJudge, ACollectiveThatAllHaveReachedIsNotLate) {
  judge.hear(0, in_barrier(5, {1, 2}), start);
  const auto asked = judge.ask(start + 11s);
  ASSERT_EQ(asked.size(), 2U);
  judge.hear(1, answer(asked[0], 0, 1));
  judge.hear(2, answer(asked[1], 0, 1));
  EXPECT_TRUE(judge.take_warnings().empty());
}

TEST_F(RankJudge, TheTimeOfACollectiveBeginsWithItsFirst) {
  judge.hear(0, in_barrier(5, {1, 2}), start);
  judge.hear(0, runs(6), start + 5s);
  judge.hear(0, in_barrier(7, {1, 2}), start + 6s);
  EXPECT_TRUE(judge.ask(start + 12s).empty());
  EXPECT_EQ(judge.ask(start + 16s).size(), 2U);
}

}  // namespace
