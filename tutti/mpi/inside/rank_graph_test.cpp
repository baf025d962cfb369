// The ranks that can never go on, from what each says of itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <tutti/base/codec.hpp>
#include <tutti/mpi/inside/rank_graph.hpp>
#include <vector>

namespace {

using tutti::mpi::detail::rank_call;
using tutti::mpi::detail::rank_graph;
using tutti::mpi::detail::rank_need;
using tutti::mpi::detail::rank_question;
using tutti::mpi::detail::rank_report;
using tutti::mpi::detail::ranks_text;
using tutti::mpi::detail::way_out;
using ranks = std::vector<std::int32_t>;
using testing::HasSubstr;
using testing::Not;

constexpr std::uint64_t world = 1;

rank_need from(const ranks& senders, std::int32_t tag = 7) {
  return {way_out::message, world, tag, 0, senders, std::vector<std::uint64_t>(senders.size(), 4)};
}
rank_need to(std::int32_t receiver, std::int32_t tag = 7) { return {way_out::receiver, world, tag, 3, {receiver}, {}}; }
rank_need all(const ranks& others, std::uint64_t number = 2) {
  return {way_out::everyone, world, tutti::mpi::detail::any_tag_at_all, number, others, {}};
}
rank_report in(const std::string& call, std::vector<rank_need> needs, bool any = false) {
  return {1, {{call, call + ".cpp:12", any, std::move(needs)}}};
}
void tell(rank_graph& graph, std::initializer_list<rank_report> reports) {
  std::int32_t rank = 0;
  for (const rank_report& one : reports) graph.set(rank++, one);
}
const rank_report running;

TEST(RankGraph, NobodyIsStuckWhoRuns) {
  rank_graph graph(3);
  EXPECT_EQ(graph.stuck(), ranks());
  graph.set(1, in("recv", {from({0})}));
  EXPECT_EQ(graph.stuck(), ranks());
}

TEST(RankGraph, TwoReceivesFromEachOther) {
  rank_graph graph(2);
  tell(graph, {in("first", {from({1})}), in("second", {from({0})})});
  EXPECT_EQ(graph.stuck(), (ranks{0, 1}));
  EXPECT_EQ(graph.explain(graph.stuck()),
            "ranks 0 and 1 wait for each other, for ever:\n"
            "  rank 0: first at first.cpp:12\n"
            "  rank 1: second at second.cpp:12\n");
}

TEST(RankGraph, RingOfSends) {
  rank_graph graph(4);
  for (std::int32_t r = 0; r < 4; ++r) graph.set(r, in("ssend", {to((r + 1) % 4)}));
  EXPECT_EQ(graph.stuck(), (ranks{0, 1, 2, 3}));
  graph.set(2, running);
  EXPECT_EQ(graph.stuck(), ranks());
}

TEST(RankGraph, AReceiveFromItself) {
  rank_graph graph(2);
  tell(graph, {in("recv", {from({0})}), running});
  EXPECT_EQ(graph.stuck(), ranks{0});
  EXPECT_EQ(graph.explain({0}), "rank 0 waits for itself, for ever:\n  rank 0: recv at recv.cpp:12\nrank 1 runs\n");
}

TEST(RankGraph, OneWhoRunsCanSendToAnySource) {
  rank_graph graph(3);
  tell(graph, {in("recv", {from({1, 2})}), in("recv", {from({0})}), running});
  EXPECT_EQ(graph.stuck(), ranks());
  graph.set(2, in("recv", {from({0, 1})}));
  EXPECT_EQ(graph.stuck(), (ranks{0, 1, 2}));
}

TEST(RankGraph, AMessageOnItsWayIsNoDeadlock) {
  rank_graph graph(2);
  tell(graph, {in("recv", {from({1})}), in("recv", {from({0}, 9)})});
  const ranks suspects = graph.stuck();
  ASSERT_EQ(suspects, (ranks{0, 1}));
  const auto asked = graph.questions_for(1, suspects);
  ASSERT_EQ(asked, (std::vector<rank_question>{{way_out::message, 0, world, 7, 4}}));
  graph.hear(1, asked[0]);
  EXPECT_EQ(graph.stuck(), ranks());
}

TEST(RankGraph, APostedReceiveIsNoDeadlock) {
  rank_graph graph(2);
  tell(graph, {in("send", {to(1)}), in("send", {to(0)})});
  const auto asked = graph.questions_for(0, graph.stuck());
  ASSERT_EQ(asked, (std::vector<rank_question>{{way_out::receiver, 1, world, 7, 3}}));
  graph.hear(0, asked[0]);
  EXPECT_EQ(graph.stuck(), ranks());
}

TEST(RankGraph, AnAnswerIsForItsQuestionOnly) {
  rank_graph graph(2);
  tell(graph, {in("recv", {from({1})}), in("recv", {from({0})})});
  graph.hear(1, {way_out::message, 0, world, 8, 4});
  graph.hear(1, {way_out::message, 0, world, 7, 5});
  graph.hear(1, {way_out::message, 0, world + 1, 7, 4});
  graph.hear(0, {way_out::message, 0, world, 7, 4});
  EXPECT_EQ(graph.stuck(), (ranks{0, 1}));
}

TEST(RankGraph, AnswersAreForgottenWithTheReport) {
  rank_graph graph(2);
  tell(graph, {in("recv", {from({1})}), in("recv", {from({0})})});
  graph.hear(1, graph.questions_for(1, graph.stuck()).at(0));
  EXPECT_EQ(graph.stuck(), ranks());
  graph.set(0, in("recv", {from({1})}));
  EXPECT_EQ(graph.stuck(), (ranks{0, 1}));
}

TEST(RankGraph, ACollectiveNeedsEveryone) {
  rank_graph graph(4);
  tell(graph, {in("barrier", {all({1, 2, 3})}), in("recv", {from({0})}), running, in("barrier", {all({0, 1, 2})})});
  EXPECT_EQ(graph.stuck(), (ranks{0, 1, 3}));
  const std::string text = graph.explain(graph.stuck());
  EXPECT_THAT(text, HasSubstr("ranks 0 and 1 wait for each other"));
  EXPECT_THAT(text, HasSubstr("rank 3 waits for them\nrank 2 runs\n"));
  EXPECT_THAT(text, Not(HasSubstr("rank 3: ")));
}

TEST(RankGraph, ACollectiveThatAllHaveReachedGoesOn) {
  rank_graph graph(3);
  tell(graph, {in("barrier", {all({1, 2})}), in("barrier", {all({0, 2})}), in("barrier", {all({0, 1})})});
  EXPECT_EQ(graph.stuck(), ranks());
  graph.set(1, in("barrier", {all({0, 2}, 3)}));  // the next one
  EXPECT_EQ(graph.stuck(), (ranks{0, 1, 2}));
}

TEST(RankGraph, ACollectiveThatOneHasLeftGoesOn) {
  rank_graph graph(3);
  tell(graph, {in("barrier", {all({1, 2})}), in("recv", {from({0})}), in("recv", {from({1})})});
  const ranks suspects = graph.stuck();
  EXPECT_EQ(suspects, (ranks{0, 1, 2}));
  const rank_question arrived{way_out::everyone, -1, world, tutti::mpi::detail::any_tag_at_all, 2};
  EXPECT_THAT(graph.questions_for(1, suspects), testing::Contains(arrived));
  graph.hear(1, arrived);
  EXPECT_EQ(graph.stuck(), suspects);
  graph.hear(2, arrived);
  EXPECT_EQ(graph.stuck(), ranks());
}

TEST(RankGraph, TwoKnotsAreTwoReports) {
  rank_graph graph(5);
  tell(graph, {in("a", {from({3})}), in("b", {to(2)}), in("c", {to(1)}), in("d", {from({0})}), running});
  const std::string text = graph.explain(graph.stuck());
  EXPECT_EQ(text,
            "ranks 0 and 3 wait for each other, for ever:\n  rank 0: a at a.cpp:12\n  rank 3: d at d.cpp:12\n"
            "ranks 1 and 2 wait for each other, for ever:\n  rank 1: b at b.cpp:12\n  rank 2: c at c.cpp:12\n"
            "rank 4 runs\n");
}

TEST(RankGraph, AKnotOfTwoAmongTen) {
  rank_graph graph(10);
  for (std::int32_t r = 0; r < 10; ++r) graph.set(r, in("recv", {from({r == 0 ? 1 : r - 1})}));
  graph.set(9, running);
  const std::string text = graph.explain(graph.stuck());
  EXPECT_THAT(text, HasSubstr("ranks 0 and 1 wait for each other"));
  EXPECT_THAT(text, HasSubstr("ranks 2 to 8 wait for them\nrank 9 runs\n"));
}

TEST(RankGraph, AnyOrAllOfSeveralRequests) {
  rank_graph graph(3);
  tell(graph, {in("wait_any", {from({1}), from({2})}, true), in("recv", {from({0})}), running});
  EXPECT_EQ(graph.stuck(), ranks());
  graph.set(0, in("wait_all", {from({1}), from({2})}));
  EXPECT_EQ(graph.stuck(), (ranks{0, 1}));
}

TEST(RankGraph, OneThreadThatCanGoOnIsEnough) {
  rank_graph graph(3);
  tell(graph, {in("recv", {from({1})}), in("recv", {from({0})}), running});
  rank_report two_threads = in("recv", {from({1})});
  two_threads.calls.push_back({"send", "", false, {to(2)}});
  graph.set(0, two_threads);
  EXPECT_EQ(graph.stuck(), ranks());
  graph.set(2, in("send", {to(0)}));
  EXPECT_EQ(graph.stuck(), (ranks{0, 1, 2}));
}

TEST(RankGraph, WhoHasEndedNeverSends) {
  rank_graph graph(3);
  rank_need end = all({1, 2}, 1);
  end.communicator = tutti::mpi::detail::end_of_mpi;
  tell(graph, {in("the end of MPI", {end}), in("recv", {from({0})}), running});
  EXPECT_EQ(graph.stuck(), (ranks{0, 1}));
  graph.set(1, running);
  EXPECT_EQ(graph.stuck(), ranks());
}

TEST(RankGraph, RefusesRanksThatAreNotThere) {
  rank_graph graph(2);
  EXPECT_THROW(graph.set(2, running), std::out_of_range);
  EXPECT_THROW(graph.set(0, in("recv", {from({2})})), std::invalid_argument);
  EXPECT_THROW(graph.set(0, in("recv", {from({-1})})), std::invalid_argument);
  rank_need uncounted = from({1});
  uncounted.received.clear();
  EXPECT_THROW(graph.set(0, in("recv", {uncounted})), std::invalid_argument);
}

TEST(RankGraph, ReportsCanBeSent) {
  rank_report report = in("recv", {from({1, 0}), to(1), all({1})}, true);
  report.epoch = 77;
  const auto back = tutti::decode<rank_report>(tutti::encode(report));
  EXPECT_EQ(back.epoch, 77U);
  ASSERT_EQ(back.calls.size(), 1U);
  EXPECT_TRUE(back.calls[0].any);
  ASSERT_EQ(back.calls[0].needs.size(), 3U);
  EXPECT_EQ(back.calls[0].needs[0].received, (std::vector<std::uint64_t>{4, 4}));
  EXPECT_EQ(back.calls[0].needs[1].by, way_out::receiver);
}

TEST(RankGraph, NamesOfManyRanks) {
  EXPECT_EQ(ranks_text({4}), "4");
  EXPECT_EQ(ranks_text({0, 1}), "0 and 1");
  EXPECT_EQ(ranks_text({0, 1, 2, 3, 7}), "0 to 3 and 7");
  EXPECT_EQ(ranks_text({0, 1, 5, 6, 7, 9}), "0, 1, 5 to 7 and 9");
}

// Against the definition: nobody of the stuck can be reached by any order of steps in which a rank goes on that can.
TEST(RankGraph, AgreesWithPlayingItOut) {
  std::mt19937 random(20);
  std::uint64_t collective = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto count = static_cast<std::int32_t>(2 + random() % 6);
    rank_graph graph(static_cast<std::size_t>(count));
    std::vector<rank_report> said(static_cast<std::size_t>(count));
    for (std::int32_t r = 0; r < count; ++r) {
      if (random() % 5 == 0) continue;
      rank_report& report = said[static_cast<std::size_t>(r)];
      for (std::uint32_t calls = 1 + random() % 2; calls != 0; --calls) {
        rank_call call{"call", "", random() % 2 == 0, {}};
        for (std::uint32_t needs = 1 + random() % 2; needs != 0; --needs) {
          ranks who;
          for (std::int32_t other = 0; other < count; ++other) {
            if (random() % 3 == 0) who.push_back(other);
          }
          if (who.empty()) who.push_back(r);
          if (random() % 2 == 0) {
            call.needs.push_back(from(who));
            continue;
          }
          std::erase(who, r);  // it has come itself
          call.needs.push_back(all(who, ++collective));
        }
        report.calls.push_back(call);
      }
      graph.set(r, report);
    }
    std::vector<bool> free(static_cast<std::size_t>(count));
    const auto is_free = [&](std::int32_t r) { return free[static_cast<std::size_t>(r)]; };
    for (std::int32_t turn = 0; turn <= count; ++turn) {
      for (std::int32_t r = 0; r < count; ++r) {
        const rank_report& report = said[static_cast<std::size_t>(r)];
        bool ends = report.calls.empty();
        for (const rank_call& call : report.calls) {
          std::size_t met = 0;
          for (const rank_need& need : call.needs) {
            const auto met_by = std::count_if(need.ranks.begin(), need.ranks.end(), is_free);
            if (need.by == way_out::everyone ? met_by == std::ssize(need.ranks) : met_by > 0) ++met;
          }
          if (call.any ? met > 0 : met == call.needs.size()) ends = true;
        }
        if (ends) free[static_cast<std::size_t>(r)] = true;
      }
    }
    ranks expected;
    for (std::int32_t r = 0; r < count; ++r) {
      if (!is_free(r)) expected.push_back(r);
    }
    ASSERT_EQ(graph.stuck(), expected) << "round " << round;
    ASSERT_EQ(graph.explain(expected).find("for ever") != std::string::npos, !expected.empty());
  }
}

}  // namespace
