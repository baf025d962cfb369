#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <tests/support/broker_place.hpp>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/cluster/result_store.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::Optional;
using testing::Pair;
using tutti_test::long_enough;

// Every result store must pass these.
class ResultStore : public tutti_test::each_place {
 protected:
  ResultStore() : store_(open_result_store(url())) {}

  void keep(const std::string& id, const std::string& text, bool is_success = true, std::chrono::seconds expires = 1h) {
    store_->store(std::vector<stored_result>{{id, text, expires, is_success}});
  }
  std::optional<std::string> kept(const std::string& id) { return store_->fetch(std::vector{id}).at(0); }
  static std::string id_of(int number) { return "id-" + std::to_string(number); }
  // What comes, until all of `ids` have.
  static std::map<std::string, std::string> hear(result_watch& watch, std::set<std::string> ids) {
    std::map<std::string, std::string> all;
    const auto late = std::chrono::steady_clock::now() + long_enough;
    while (!ids.empty() && std::chrono::steady_clock::now() < late)
      for (auto& [id, text] : watch.next(long_enough)) {
        ids.erase(id);
        all[id] = std::move(text);
      }
    EXPECT_TRUE(ids.empty()) << ids.size() << " did not come, as " << *ids.begin();
    return all;
  }

  std::shared_ptr<result_store> store_;
};

TEST_P(ResultStore, KeepsResults) {
  EXPECT_EQ(kept("a"), std::nullopt);
  store_->store(std::vector<stored_result>{{"a", "1", 1h, true}, {"b", "2", 1h, false}});
  EXPECT_THAT(store_->fetch(std::vector<std::string>{"b", "none", "a"}),
              ElementsAre(Optional(std::string("2")), std::nullopt, Optional(std::string("1"))));
  EXPECT_TRUE(store_->fetch({}).empty());
  store_->store({});
}

TEST_P(ResultStore, ForgetsResults) {
  store_->store(std::vector<stored_result>{{"a", "1"}, {"b", "2"}});
  store_->forget(std::vector<std::string>{"a", "none"});
  EXPECT_EQ(kept("a"), std::nullopt);
  EXPECT_EQ(kept("b"), "2");
  keep("a", "again", false);
  EXPECT_EQ(kept("a"), "again");
}

TEST_P(ResultStore, ResultsExpire) {
  keep("short", "1", true, 1s);
  keep("long", "2", true, 1h);
  keep("for ever", "3", true, 0s);
  keep("longest", "4", true, std::chrono::seconds::max());
  const auto late = std::chrono::steady_clock::now() + long_enough;
  while (kept("short") && std::chrono::steady_clock::now() < late) std::this_thread::yield();
  EXPECT_EQ(kept("short"), std::nullopt);
  EXPECT_EQ(kept("long"), "2");
  EXPECT_EQ(kept("for ever"), "3");
  EXPECT_EQ(kept("longest"), "4");
}

TEST_P(ResultStore, OnlyASuccessReplacesASuccess) {
  const auto state = [](const std::string& status, int result) {  // as result_text makes them
    return R"({"status": ")" + status + R"(", "result": )" + std::to_string(result) + "}";
  };
  keep("a", state("STARTED", 1), false);
  keep("a", state("FAILURE", 2), false);
  EXPECT_EQ(kept("a"), state("FAILURE", 2));
  keep("a", state("SUCCESS", 3), true);
  keep("a", state("FAILURE", 4), false);
  EXPECT_EQ(kept("a"), state("SUCCESS", 3));
  keep("a", state("SUCCESS", 5), true);
  EXPECT_EQ(kept("a"), state("SUCCESS", 5));
}

TEST_P(ResultStore, AStateOnTheWayReplacesNoEnd) {
  const auto state = [](const std::string& status) { return R"({"status": ")" + status + R"(", "result": null})"; };
  const auto pass = [&](const std::string& status) {
    store_->store(std::vector<stored_result>{{"a", state(status), 1h, false, true}});
  };
  pass("STARTED");
  pass("PROGRESS");
  EXPECT_EQ(kept("a"), state("PROGRESS"));
  keep("a", state("FAILURE"), false);
  pass("STARTED");
  EXPECT_EQ(kept("a"), state("FAILURE"));
  keep("a", state("REVOKED"), false);
  EXPECT_EQ(kept("a"), state("REVOKED"));
  keep("a", state("SUCCESS"), true);
  pass("STARTED");
  EXPECT_EQ(kept("a"), state("SUCCESS"));
}

TEST_P(ResultStore, WatchesHearOfWhatIsStoredBeforeAndAfter) {
  keep("before", "1");
  const auto watch = store_->watch();
  watch->add(std::vector<std::string>{"before", "after"});
  EXPECT_THAT(hear(*watch, {"before"}), testing::Contains(Pair("before", "1")));
  keep("other", "x");
  keep("after", "2");
  EXPECT_THAT(hear(*watch, {"after"}), testing::Not(testing::Contains(Pair("other", "x"))));
}

TEST_P(ResultStore, WatchesHearFromOtherThreads) {
  const auto watch = store_->watch();
  std::jthread other([&] {
    watch->add(std::vector<std::string>{"a"});
    keep("a", "1");
  });
  EXPECT_THAT(hear(*watch, {"a"}), ElementsAre(Pair("a", "1")));
}

TEST_P(ResultStore, WatchesHearOfMany) {
  constexpr int count = 2000;
  std::set<std::string> ids;
  for (int i = 0; i < count; ++i) ids.insert(id_of(i));
  const auto watch = store_->watch();
  std::jthread storing([&] {
    for (int from = 0; from < count; from += 50) {
      std::vector<stored_result> batch;
      for (int i = from; i < from + 50; ++i) batch.push_back({id_of(i), std::to_string(i), 1h, true});
      store_->store(batch);
    }
  });
  for (int from = 0; from < count; from += 100) {  // some are there before, some come after
    std::vector<std::string> batch;
    for (int i = from; i < from + 100; ++i) batch.push_back(id_of(i));
    watch->add(batch);
  }
  const auto all = hear(*watch, ids);
  for (int i = 0; i < count; ++i) ASSERT_EQ(all.at(id_of(i)), std::to_string(i));
}

TEST_P(ResultStore, WatchesHearOfTheLastState) {
  const auto watch = store_->watch();
  watch->add(std::vector<std::string>{"a"});
  keep("a", "started", false);
  keep("a", "done", true);
  const auto late = std::chrono::steady_clock::now() + long_enough;
  std::string last;
  while (last != "done" && std::chrono::steady_clock::now() < late)
    for (const auto& [id, text] : watch->next(long_enough)) last = text;
  EXPECT_EQ(last, "done");
}

TEST_P(ResultStore, SeveralMayWatchTheSame) {
  const auto one = store_->watch();
  auto two = store_->watch();
  const auto again = open_result_store(url());
  const auto three = again->watch();
  for (result_watch* const each : {one.get(), two.get(), three.get()}) each->add(std::vector<std::string>{"a"});
  two.reset();
  keep("a", "1");
  EXPECT_THAT(hear(*one, {"a"}), ElementsAre(Pair("a", "1")));
  EXPECT_THAT(hear(*three, {"a"}), ElementsAre(Pair("a", "1")));
}

TEST_P(ResultStore, WatchesHearNothingOfWhatTheyGaveUp) {
  const auto watch = store_->watch();
  watch->add(std::vector<std::string>{"a", "b"});
  watch->remove(std::vector<std::string>{"a", "never added"});
  keep("a", "1");
  keep("b", "2");
  EXPECT_THAT(hear(*watch, {"b"}), ElementsAre(Pair("b", "2")));
}

TEST_P(ResultStore, WakeEndsNext) {
  const auto watch = store_->watch();
  EXPECT_TRUE(watch->next(0s).empty());
  watch->wake();
  EXPECT_TRUE(watch->next(1h).empty());
  std::jthread waker([&] { watch->wake(); });
  EXPECT_TRUE(watch->next(1h).empty());
}

TEST_P(ResultStore, WatchesMayOutliveTheStore) {
  const auto watch = store_->watch();
  store_.reset();
  watch->add(std::vector<std::string>{"a"});
  EXPECT_TRUE(watch->next(0s).empty());
}

TEST_P(ResultStore, ChordsAreCompleteWithTheirLastPart) {
  store_->begin_chord("g", 3);
  EXPECT_EQ(store_->add_chord_part("g", 2, "c", "C"), std::nullopt);
  EXPECT_EQ(store_->add_chord_part("g", 0, "a", "A"), std::nullopt);
  EXPECT_EQ(store_->add_chord_part("g", 0, "a", "A"), std::nullopt) << "the same part counts once";
  EXPECT_EQ(store_->add_chord_part("h", 0, "x", "X"), std::nullopt) << "of another chord";
  EXPECT_THAT(store_->add_chord_part("g", 1, "b", "B"), Optional(ElementsAre("A", "B", "C")));
  EXPECT_THAT(store_->add_chord_part("g", 1, "b", "B"), Optional(ElementsAre("A", "B", "C"))) << "still complete";
  EXPECT_EQ(store_->add_chord_part("g", 0, "a", "A"), std::nullopt) << "whoever has completed it goes on";
  store_->end_chord("g");
  EXPECT_EQ(store_->add_chord_part("g", 1, "b", "B"), std::nullopt);
  store_->end_chord("g");
}

TEST_P(ResultStore, PartsOfChordsMayComeBeforeTheyBegin) {
  EXPECT_EQ(store_->add_chord_part("g", 0, "a", "A"), std::nullopt);
  store_->begin_chord("g", 2);
  EXPECT_THAT(store_->add_chord_part("g", 1, "b", "B"), Optional(ElementsAre("A", "B")));
}

TEST_P(ResultStore, ConcurrentPartsMakeAChordComplete) {
  constexpr int count = 64, threads = 4;
  store_->begin_chord("g", count);
  std::atomic<int> complete{0};
  {
    std::vector<std::jthread> all;
    for (int t = 0; t < threads; ++t)
      all.emplace_back([&, t] {
        for (int i = t; i < count; i += threads) {
          const auto parts = store_->add_chord_part("g", i, id_of(i), std::to_string(i));
          if (!parts) continue;
          ++complete;
          ASSERT_EQ(parts->size(), static_cast<std::size_t>(count));
          for (int k = 0; k < count; ++k) ASSERT_EQ(parts->at(static_cast<std::size_t>(k)), std::to_string(k));
        }
      });
  }
  EXPECT_EQ(complete, 1);
}

TEST_P(ResultStore, CarriesAnyText) {
  const std::string every = std::string("null: \0, quotes: '\"\\, ", 22) + "\u00e9\u4e2d\U0001F600 \x7f\x01\n";
  const std::string big(10'000'000, 'x');
  store_->store(std::vector<stored_result>{{"a", every}, {"b", big}, {"c", ""}, {every, "d"}});
  const auto watch = store_->watch();
  watch->add(std::vector<std::string>{"b"});
  EXPECT_EQ(kept("a"), every);
  EXPECT_TRUE(kept("b") == big);
  EXPECT_EQ(kept("c"), "");
  EXPECT_EQ(kept(every), "d");
  EXPECT_TRUE(hear(*watch, {"b"}).at("b") == big);
  store_->begin_chord("g", 1);
  EXPECT_THAT(store_->add_chord_part("g", 0, "a", every), Optional(ElementsAre(every)));
}

TEST_P(ResultStore, NamesItsPlace) { EXPECT_TRUE(store_->name().starts_with(GetParam() + ":")) << store_->name(); }

INSTANTIATE_TEST_SUITE_P(All, ResultStore, testing::Values("memory", "sqlite", "redis"), tutti_test::name_of_place);

TEST(OpenResultStore, NamesTheSchemesThatItKnows) {
  broker_url url;
  url.scheme = "rpc";
  try {
    (void)open_result_store(url);
    FAIL();
  } catch (const bad_spec& e) {
    EXPECT_STREQ(e.what(), "no result store for \"rpc:\"; known: redis://, redis+socket://, sqlite:, memory://");
  }
}

}  // namespace
}  // namespace tutti::cluster
