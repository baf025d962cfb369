#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <tests/support/broker_place.hpp>
#include <tests/support/sqlite_file.hpp>
#include <thread>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/brokers/sqlite_broker.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using tutti_test::long_enough;
using tutti_test::sqlite_file;
using tutti_test::sqlite_url;

// What goes beyond what all brokers promise, in one process.
class SqliteBroker : public testing::Test {
 protected:
  std::shared_ptr<broker> open(const broker_options& options = {1h, 30s}) {
    return make_sqlite_broker(sqlite_url(path_), options);
  }
  static void send(broker& to, const std::vector<std::string>& texts) {
    std::vector<outgoing_message> messages;
    for (const std::string& text : texts) messages.push_back({"q", text});
    to.publish(messages);
  }
  static std::vector<std::string> texts(const std::vector<delivery>& deliveries) {
    std::vector<std::string> result;
    for (const delivery& one : deliveries) result.push_back(one.text);
    return result;
  }

  tutti_test::test_folder folder_;
  const std::string path_ = folder_.file();
};

TEST_F(SqliteBroker, KeepsItsMessagesWhenNobodyHasItOpen) {
  send(*open(), {"a", "b"});
  const auto again = open();
  EXPECT_THAT(again->peek("q", 5), ElementsAre("a", "b"));
}

TEST_F(SqliteBroker, HasRoomOnTheDiskForItsBell) {
  const auto broker = open();
  const auto consumer = broker->consume("c", {"q"});
  struct ::stat found{};
  ASSERT_EQ(::stat((path_ + "-bell").c_str(), &found), 0);
  EXPECT_GE(found.st_blocks * 512, 4096);
}

TEST_F(SqliteBroker, HandsOutSomeMegabytesAtOnce) {
  const auto broker = open();
  const std::string big(1 << 20, 'x');
  send(*broker, {big, big, big, big, big, "last"});
  const auto consumer = broker->consume("c", {"q"});
  EXPECT_EQ(consumer->receive(10, long_enough).size(), 4U);
  EXPECT_THAT(texts(consumer->receive(10, long_enough)), ElementsAre(big, "last"));
}

TEST_F(SqliteBroker, MeansTheSameFileAfterAChangeOfFolder) {
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(std::filesystem::path(path_).parent_path());
  const auto relative = make_sqlite_broker(sqlite_url("tasks.db"), {});
  std::filesystem::current_path(before);
  send(*relative, {"a"});
  EXPECT_THAT(open()->peek("q", 5), ElementsAre("a"));
  EXPECT_EQ(relative->name(), "sqlite:" + path_);
}

TEST_F(SqliteBroker, WhatADeadConsumerHeldReturns) {
  const auto broker = open();
  send(*broker, {"a", "b"});
  const auto silent = broker->consume("silent", {"q"});
  const auto held = silent->receive(2, long_enough);
  ASSERT_EQ(held.size(), 2U);
  sqlite_file(path_).run("UPDATE consumer SET lease_end = 0");

  const auto other = open({200ms, 30s})->consume("other", {"q"});
  const auto got = other->receive(3, long_enough);
  EXPECT_THAT(texts(got), ElementsAre("a", "b"));
  EXPECT_EQ(got.at(0).returned, 1);

  // It was not dead after all: what it does with what it had comes too late, and it goes on with others.
  silent->settle(std::vector<settlement>{{held[0].tag, false, {{"q", "follow"}}}, {held[1].tag, true, {}}});
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).at(0).held, 2U);
  send(*broker, {"c"});
  const auto next = silent->receive(5, long_enough);
  EXPECT_THAT(texts(next), ElementsAre("c"));
  EXPECT_EQ(next.at(0).returned, 0);
  EXPECT_FALSE(silent->holds(held[0].tag));
  EXPECT_TRUE(silent->holds(next[0].tag));
  EXPECT_EQ(sqlite_file(path_).number("SELECT count(*) FROM consumer"), 2);
}

TEST_F(SqliteBroker, ConsumersOfBeforeTheLastStartOfTheMachineAreDead) {
  const auto broker = open();
  send(*broker, {"a"});
  const auto silent = broker->consume("silent", {"q"});
  ASSERT_EQ(silent->receive(1, long_enough).size(), 1U);
  sqlite_file(path_).run("UPDATE consumer SET boot = 'another'");
  const auto other = broker->consume("other", {"q"});
  EXPECT_THAT(texts(other->receive(1, long_enough)), ElementsAre("a"));
}

TEST_F(SqliteBroker, ConsumersInOtherContainersLiveAsLongAsTheirLease) {
  const auto broker = open();
  send(*broker, {"a"});
  const auto silent = broker->consume("silent", {"q"});
  ASSERT_EQ(silent->receive(1, long_enough).size(), 1U);
  sqlite_file(path_).run("UPDATE consumer SET space = 'another', pid = 0");
  const auto other = open({200ms, 30s})->consume("other", {"q"});
  EXPECT_THAT(other->receive(1, 0s), IsEmpty());
  sqlite_file(path_).run("UPDATE consumer SET lease_end = 0 WHERE name = 'silent'");
  EXPECT_THAT(texts(other->receive(1, long_enough)), ElementsAre("a"));
}

// Somebody may have kept the file locked for so long that all leases have ended, and this one be the first to get it.
TEST_F(SqliteBroker, AConsumerThatBeginsTakesNobodyForDeadByItsLease) {
  const auto broker = open();
  send(*broker, {"a"});
  const auto first = broker->consume("first", {"q"});
  ASSERT_EQ(first->receive(1, long_enough).size(), 1U);
  sqlite_file(path_).run("UPDATE consumer SET lease_end = 0");
  const auto second = broker->consume("second", {"q"});
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).at(0).held, 1U);
}

TEST_F(SqliteBroker, WhoIsLateHimselfTakesNobodyForDeadByItsLease) {
  const auto broker = open();
  send(*broker, {"a"});
  const auto first = broker->consume("first", {"q"});
  ASSERT_EQ(first->receive(1, long_enough).size(), 1U);
  const sqlite_file file(path_);
  file.run("UPDATE consumer SET lease_end = 0");
  // The second one has less than half of its lease left whenever its turn comes, as if it had waited for the file.
  file.run(
      "CREATE TABLE renewals(n);"
      "CREATE TRIGGER late AFTER UPDATE OF lease_end ON consumer BEGIN"
      " UPDATE consumer SET lease_end = NEW.lease_end - 250 WHERE id = NEW.id; INSERT INTO renewals VALUES(1); END;"
      "CREATE TRIGGER late_first AFTER INSERT ON consumer BEGIN"
      " UPDATE consumer SET lease_end = NEW.lease_end WHERE id = NEW.id; END");
  const auto second = open({400ms, 30s})->consume("second", {"q"});
  const auto late = std::chrono::steady_clock::now() + long_enough;
  while (file.number("SELECT count(*) FROM renewals") < 4 && std::chrono::steady_clock::now() < late)
    std::this_thread::yield();
  EXPECT_EQ(broker->queues(std::vector<std::string>{"q"}).at(0).held, 1U);
  file.run("DROP TRIGGER late; DROP TRIGGER late_first");
  EXPECT_THAT(texts(second->receive(1, long_enough)), ElementsAre("a"));
}

TEST_F(SqliteBroker, LeasesAreRenewedWhileMessagesAreHeld) {
  const auto broker = open({40ms, 30s});
  send(*broker, {"a"});
  const auto holder = broker->consume("holder", {"q"});
  const auto held = holder->receive(1, long_enough);
  ASSERT_EQ(held.size(), 1U);
  const sqlite_file file(path_);
  const auto lease_end = [&] { return file.number("SELECT max(lease_end) FROM consumer"); };
  const auto late = std::chrono::steady_clock::now() + long_enough;
  for (int renewals = 0; renewals < 5 && std::chrono::steady_clock::now() < late; ++renewals) {
    const std::int64_t before = lease_end();
    while (lease_end() == before && std::chrono::steady_clock::now() < late) std::this_thread::yield();
  }
  EXPECT_LT(std::chrono::steady_clock::now(), late);
}

TEST_F(SqliteBroker, TakesMuchInStepsSoThatOthersGetTheirTurn) {
  const auto broker = open();
  broker->broadcast("c", "so that the file is there");
  sqlite_file(path_).run(
      "CREATE TRIGGER no AFTER INSERT ON message WHEN NEW.text = 'no' BEGIN SELECT RAISE(ABORT, 'no'); END");
  std::vector<std::string> many(10'000, "x");
  many.emplace_back("no");
  EXPECT_THROW(send(*broker, many), broker_error);
  EXPECT_EQ(broker->purge("q"), 10'000U);
  const std::string big(1 << 20, 'x');
  EXPECT_THROW(send(*broker, {big, big, big, big, "x", "no"}), broker_error);
  EXPECT_EQ(broker->purge("q"), 4U);
}

TEST_F(SqliteBroker, PurgesMoreThanASlice) {
  const auto broker = open();
  send(*broker, std::vector<std::string>(25'000, "x"));
  EXPECT_EQ(broker->purge("q"), 25'000U);
  EXPECT_EQ(sqlite_file(path_).number("SELECT count(*) FROM message"), 0);
}

TEST_F(SqliteBroker, ForgetsOldBroadcasts) {
  const auto broker = open();
  for (int i = 0; i < 10; ++i) broker->broadcast("c", "old");
  sqlite_file(path_).run("UPDATE broadcast SET sent = sent - 61000");
  const auto listener = broker->listen("c");
  for (const char* text : {"a", "b", "c"}) broker->broadcast("c", text);
  EXPECT_EQ(sqlite_file(path_).number("SELECT count(*) FROM broadcast"), 3);
  for (const char* text : {"a", "b", "c"}) EXPECT_EQ(listener->receive(long_enough), text);
}

TEST_F(SqliteBroker, AListenerThatStoodStillForLongKnowsThatItHasMissedSome) {
  const auto broker = open();
  const auto listener = broker->listen("c");
  broker->broadcast("c", "heard");
  EXPECT_EQ(listener->receive(long_enough), "heard");
  broker->broadcast("c", "missed");
  broker->broadcast("c", "also missed");
  EXPECT_FALSE(listener->has_missed());
  sqlite_file(path_).run("UPDATE broadcast SET sent = sent - 61000");
  broker->broadcast("c", "first");
  broker->broadcast("c", "second");
  EXPECT_EQ(listener->receive(long_enough), "first");
  EXPECT_TRUE(listener->has_missed());
  EXPECT_FALSE(listener->has_missed());
  EXPECT_EQ(listener->receive(long_enough), "second");
  EXPECT_FALSE(listener->has_missed());
}

TEST_F(SqliteBroker, NoTablesOfMessagesKeepAnythingThatIsSettled) {
  const auto broker = open();
  send(*broker, {"a", "b", "c"});
  auto consumer = broker->consume("c", {"q"});
  const auto got = consumer->receive(3, long_enough);
  consumer->settle(
      std::vector<settlement>{{got.at(0).tag, false, {}}, {got.at(1).tag, false, {}}, {got.at(2).tag, false, {}}});
  consumer.reset();
  const sqlite_file file(path_);
  for (const char* table : {"message", "ready", "delayed", "held", "consumer"})
    EXPECT_EQ(file.number(std::string("SELECT count(*) FROM ") + table), 0) << table;
}

// --- files that are not as they should be

class SqliteFaults : public SqliteBroker {
 protected:
  std::string failure(const broker_options& options = {1h, 50ms}) {
    try {
      send(*open(options), {"a"});
    } catch (const broker_error& e) {
      return e.what();
    }
    return "nothing was thrown";
  }
};

TEST_F(SqliteFaults, RefusesFilesOfNewerVersions) {
  send(*open(), {"a"});
  sqlite_file(path_).run("PRAGMA user_version = 3");
  EXPECT_EQ(failure(), "sqlite:" + path_ + ": made by a newer version of tutti: its format is 3, this one knows 2");
  sqlite_file(path_).run("PRAGMA user_version = 1");
  EXPECT_EQ(failure(), "sqlite:" + path_ + ": made by an older version of tutti: its format is 1, this one knows 2");
  EXPECT_EQ(sqlite_file(path_).number("SELECT count(*) FROM message"), 1);
}

TEST_F(SqliteFaults, RefusesDatabasesOfOthers) {
  sqlite_file(path_).run("CREATE TABLE theirs(x)");
  EXPECT_EQ(failure(), "sqlite:" + path_ + ": this database belongs to another program");
  EXPECT_EQ(sqlite_file(path_).number("SELECT count(*) FROM sqlite_schema"), 1);
}

TEST_F(SqliteFaults, RefusesWhatIsNoDatabase) {
  std::ofstream(path_) << std::string(5000, 'x');
  EXPECT_EQ(failure(), "sqlite:" + path_ + ": this file is no database");
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  EXPECT_EQ(failure(), "sqlite:" + path_ + ": this is no file");
  EXPECT_THROW((void)open()->consume("c", {"q"}), broker_error);
  EXPECT_THROW((void)open()->listen("c"), broker_error);
}

TEST_F(SqliteFaults, NamesTheFolderThatIsMissing) {
  const auto broker = make_sqlite_broker(sqlite_url(folder_.file("none/tasks.db")), {1h, 50ms});
  try {
    send(*broker, {"a"});
    FAIL();
  } catch (const broker_error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("none/tasks.db"));
    EXPECT_THAT(e.what(), testing::HasSubstr("No such file or directory"));
  }
  std::filesystem::create_directory(folder_.file("none"));
  send(*broker, {"a"});  // it is tried anew each time
  EXPECT_THAT(broker->peek("q", 5), ElementsAre("a"));
}

TEST_F(SqliteFaults, ReportsAFileThatWasDeletedWhileInUse) {
  const auto broker = open({1h, 50ms});
  send(*broker, {"a", "b"});
  const auto consumer = broker->consume("c", {"q"});
  const auto got = consumer->receive(1, long_enough);
  ASSERT_EQ(got.size(), 1U);
  const log_capture logged;
  std::filesystem::remove(path_);
  EXPECT_THAT(failure(), testing::HasSubstr(path_ + ": the file was deleted, moved or replaced"));
  EXPECT_THAT(consumer->receive(1, 0s), IsEmpty());
  EXPECT_FALSE(consumer->connected());
  EXPECT_TRUE(logged.contains("the file was deleted, moved or replaced"));
  consumer->stop();
  EXPECT_THROW(consumer->settle(std::vector<settlement>{{got[0].tag, false, {}}}), broker_error);
  std::ofstream(path_) << "";  // another file is not the same one
  EXPECT_THROW(send(*broker, {"c"}), broker_error);
}

TEST_F(SqliteFaults, WaitsForWhoHasItLocked) {
  const auto broker = open({1h, 50ms});
  send(*broker, {"a", "b"});
  const auto consumer = broker->consume("c", {"q"});
  const auto got = consumer->receive(1, long_enough);
  ASSERT_EQ(got.size(), 1U);
  const sqlite_file other(path_);
  other.run("BEGIN IMMEDIATE");
  try {
    send(*broker, {"c"});
    FAIL();
  } catch (const broker_error& e) {
    EXPECT_EQ(std::string(e.what()),
              "sqlite:" + path_ + ": others keep it locked for more than 50 ms; one of them may be stopped");
  }
  EXPECT_THAT(consumer->receive(1, 0s), IsEmpty());
  EXPECT_FALSE(consumer->connected());
  std::atomic<bool> settled{false};
  std::jthread settling([&] {
    consumer->settle(std::vector<settlement>{{got[0].tag, false, {}}});
    settled = true;
  });
  EXPECT_THROW(send(*broker, {"c"}), broker_error);
  EXPECT_FALSE(settled);
  other.run("COMMIT");
  settling.join();
  EXPECT_THAT(texts(consumer->receive(5, long_enough)), ElementsAre("b"));
  EXPECT_TRUE(consumer->connected());
}

TEST_F(SqliteFaults, StopEndsSettlingThatWaits) {
  const auto broker = open({1h, 50ms});
  send(*broker, {"a"});
  const auto consumer = broker->consume("c", {"q"});
  const auto got = consumer->receive(1, long_enough);
  ASSERT_EQ(got.size(), 1U);
  const sqlite_file other(path_);
  other.run("BEGIN IMMEDIATE");
  std::jthread stopping([&] { consumer->stop(); });
  EXPECT_THROW(consumer->settle(std::vector<settlement>{{got[0].tag, false, {}}}), broker_error);
  other.run("COMMIT");
}

}  // namespace
}  // namespace tutti::cluster
