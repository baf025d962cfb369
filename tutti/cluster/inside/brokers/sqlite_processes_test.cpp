#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <set>
#include <tests/support/broker_place.hpp>
#include <tests/support/child.hpp>
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/brokers/sqlite_broker.hpp>
#include <tutti/cluster/inside/results/sqlite_results.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using tutti_test::child;
using tutti_test::long_enough;
using tutti_test::sqlite_url;
using tutti_test::talk;

constexpr broker_options patient{1h, 60s};  // so long a lease that nothing here is for its end

// Several processes share one file. Here a test forks before it has a thread.
class SqliteProcesses : public testing::Test {
 protected:
  std::shared_ptr<broker> open() const { return make_sqlite_broker(sqlite_url(path_), patient); }
  static void send(broker& to, const std::vector<std::string>& texts) {
    std::vector<outgoing_message> messages;
    for (const std::string& text : texts) messages.push_back({"q", text});
    to.publish(messages);
  }

  tutti_test::test_folder folder_;
  const std::string path_ = folder_.file();
};

TEST_F(SqliteProcesses, WhatAKilledOneHeldReturnsAtOnce) {
  child other([this](const talk& parent) {
    const auto broker = open();
    send(*broker, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
    const auto consumer = broker->consume("other", {"q"});
    if (consumer->receive(4, long_enough).size() != 4) return 1;
    parent.say();
    parent.wait_for_the_end();
    return 0;
  });
  other.hear();
  other.kill();
  const auto consumer = open()->consume("heir", {"q"});
  const auto all = consumer->receive(10, long_enough);
  ASSERT_EQ(all.size(), 10U);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].text, std::to_string(i));
    EXPECT_EQ(all[i].returned, i < 4 ? 1 : 0) << i;
  }
}

TEST_F(SqliteProcesses, WakeEachOther) {
  child other([this](const talk& parent) {
    const auto broker = open();
    const auto consumer = broker->consume("other", {"q"});
    const auto news = broker->listen("news");
    const auto results = make_sqlite_results(sqlite_url(path_), patient);
    const auto watch = results->watch();
    watch->add(std::vector<std::string>{"id"});
    parent.say();
    if (consumer->receive(1, long_enough).size() != 1) return 1;
    parent.say();
    if (news->receive(long_enough) != "new") return 2;
    parent.say();
    if (watch->next(long_enough).empty()) return 3;
    return 0;
  });
  other.hear();
  send(*open(), {"a"});
  other.hear();
  open()->broadcast("news", "new");
  other.hear();
  make_sqlite_results(sqlite_url(path_), patient)->store(std::vector<stored_result>{{"id", "done"}});
  EXPECT_EQ(other.join(), 0);
}

TEST_F(SqliteProcesses, MakeOneFileTogether) {
  std::vector<child> children;
  for (int i = 0; i < 4; ++i)
    children.emplace_back([this, i](const talk& parent) {
      parent.hear();
      send(*open(), {std::to_string(i)});
      return 0;
    });
  for (const child& one : children) one.say();
  for (child& one : children) EXPECT_EQ(one.join(), 0);
  EXPECT_THAT(open()->peek("q", 10), testing::UnorderedElementsAre("0", "1", "2", "3"));
}

TEST_F(SqliteProcesses, AForkedChildGoesOnWithAConnectionOfItsOwn) {
  const auto broker = open();
  send(*broker, {"parent"});
  child other([this, &broker](const talk&) {
    send(*broker, {"child"});
    send(*open(), {"child again"});
    return 0;
  });
  EXPECT_EQ(other.join(), 0);
  send(*broker, {"parent again"});
  EXPECT_THAT(broker->peek("q", 10), ElementsAre("parent", "child", "child again", "parent again"));
}

TEST_F(SqliteProcesses, LoseNothingWhoeverIsKilled) {
  constexpr int count = 600, kills = 12;
  const auto work = [this](const talk& parent) {
    const auto consumer = open()->consume("worker", {"q"});
    const auto results = make_sqlite_results(sqlite_url(path_), patient);
    parent.say();
    for (;;) {
      const auto got = consumer->receive(8, long_enough);
      std::vector<stored_result> done;
      std::vector<settlement> settled;
      for (const delivery& one : got) {
        done.push_back({one.text, "done", 1h, true});
        settled.push_back({one.tag, false, {}});
        if (!one.text.starts_with("next")) settled.back().follow.push_back({"q", "next-" + one.text});
      }
      results->store(done);
      consumer->settle(settled);
    }
    return 0;
  };
  std::vector<std::string> first, ids;
  for (int i = 0; i < count; ++i) {
    first.push_back(std::to_string(i));
    ids.push_back(first.back());
    ids.push_back("next-" + first.back());
  }
  child sender([&](const talk&) {
    const auto broker = open();
    for (std::size_t i = 0; i < first.size(); i += 20)
      send(*broker,
           {first.begin() + static_cast<std::ptrdiff_t>(i), first.begin() + static_cast<std::ptrdiff_t>(i) + 20});
    return 0;
  });
  std::vector<std::optional<child>> workers(2);
  for (int i = 0; i < kills; ++i) {
    std::optional<child>& victim = workers[static_cast<std::size_t>(i) % 2];
    victim.emplace(work);  // which kills the one before, wherever it is
    victim->hear();
  }
  const auto results = make_sqlite_results(sqlite_url(path_), patient);
  const auto late = std::chrono::steady_clock::now() + long_enough;
  std::size_t missing = ids.size();
  while (missing != 0 && std::chrono::steady_clock::now() < late) {
    missing = 0;
    for (const auto& one : results->fetch(ids))
      if (!one) ++missing;
  }
  EXPECT_EQ(missing, 0U);
  EXPECT_EQ(sender.join(), 0);
}

TEST_F(SqliteProcesses, AFullDiskIsReportedAndSurvived) {
  child other([this](const talk&) {
    std::signal(SIGXFSZ, SIG_IGN);
    const auto broker = open();
    send(*broker, {"before"});
    ::rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    const ::rlimit small{400'000, limit.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
    std::string error;
    try {
      send(*broker, {"small", std::string(1'000'000, 'x')});
    } catch (const broker_error& e) {
      error = e.what();
    }
    ::setrlimit(RLIMIT_FSIZE, &limit);
    if (!error.starts_with("sqlite:" + path_ + ": ")) return 1;
    if (broker->peek("q", 10).size() != 1) return 2;  // nothing of what failed is there
    send(*broker, {"after"});
    return broker->peek("q", 10).size() == 2 ? 0 : 3;
  });
  EXPECT_EQ(other.join(), 0);
}

}  // namespace
}  // namespace tutti::cluster
