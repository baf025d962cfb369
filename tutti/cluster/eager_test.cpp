// eager apps: what they keep, and that a task which never has enough ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/cluster/inside/eager_results.hpp>

#include <tutti/base/error.hpp>
#include <tutti/cluster/send.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/this_call.hpp>

#include <string>
#include <tests/support/cluster_client.hpp>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;

TEST(EagerResults, GoWhenTheyExpire) {
  eager_results kept;
  const eager_results::clock::time_point begin{};
  kept.store("short", "1", 1s, begin);
  kept.store("long", "2", 10s, begin);
  kept.store("for ever", "3", 0s, begin);
  EXPECT_EQ(kept.find("short", begin), "1");
  EXPECT_EQ(kept.find("short", begin + 1s), std::nullopt);
  EXPECT_EQ(kept.size(), 3U);
  kept.store("other", "4", 10s, begin + 2s);
  EXPECT_EQ(kept.size(), 3U);
  EXPECT_EQ(kept.find("long", begin + 2s), "2");
  EXPECT_EQ(kept.find("for ever", begin + 1000h), "3");
}

TEST(EagerResults, AreNotMoreThanTheMost) {
  eager_results kept(2);
  const eager_results::clock::time_point now{};
  kept.store("a", "1", 0s, now);
  kept.store("b", "1", 0s, now);
  kept.store("a", "2", 0s, now);
  EXPECT_EQ(kept.size(), 2U);
  kept.store("c", "3", 0s, now);
  EXPECT_EQ(kept.find("a", now), std::nullopt);
  EXPECT_EQ(kept.find("b", now), "1");
  kept.forget("b");
  EXPECT_EQ(kept.find("b", now), std::nullopt);
  EXPECT_EQ(kept.find("c", now), "3");
}

TEST(Eager, AResultThatIsKeptForAsLongAsCanBeIsThere) {
  registered_task task;
  task.settings = {.name = "eager.lasting", .result_expires = std::chrono::seconds::max()};
  task.run = [](std::string_view, std::string_view) -> std::string { return "1"; };
  const task_registration entered(std::move(task));
  const tutti_test::client_bench bench(true);
  EXPECT_EQ(send_task("eager.lasting", {}).state(), "SUCCESS");
}

TEST(Eager, ATaskThatAlwaysAsksForAnotherAttemptFailsInTheEnd) {
  int attempts = 0;
  registered_task task;
  task.settings = {.name = "eager.again", .max_retries = {}};
  task.run = [&attempts](std::string_view, std::string_view) -> std::string {
    ++attempts;
    this_call::retry({.reason = "not yet"});
  };
  const task_registration entered(std::move(task));
  const tutti_test::client_bench bench(true);
  const auto sent = send_task("eager.again", {});
  EXPECT_THAT(tutti_test::message_of<error>([&] { static_cast<void>(sent.get()); }),
              testing::AllOf(testing::HasSubstr("eager.again"), testing::HasSubstr("1000")));
  EXPECT_EQ(attempts, 1000);
}

TEST(Eager, ATaskThatIsNotKnownHereIsNamed) {
  const tutti_test::client_bench bench(true);
  const auto sent = send_task("eager.elsewhere", {});
  EXPECT_THAT(tutti_test::message_of<not_registered>([&] { static_cast<void>(sent.get()); }),
              testing::HasSubstr("no task \"eager.elsewhere\" is known to this program"));
}

registered_task made(const char* name, std::string (*run)()) {
  registered_task task;
  task.settings = {.name = name};
  task.run = [run](std::string_view, std::string_view) { return run(); };
  return task;
}

TEST(Eager, ATaskThatCallsAnotherOneRunsItWhereItIsItself) {
  const task_registration inner(made("eager.inner", [] { return std::string("20"); }));
  const task_registration middle(
      made("eager.middle", [] { return std::to_string(send_task<int>("eager.inner", {}).get(30s) + 1); }));
  const task_registration outer(made("eager.outer", [] {
    const auto sent = send_task<int>("eager.middle", {});
    return std::to_string(2 * result<int>(sent.id()).get(30s));
  }));
  const tutti_test::client_bench elsewhere(false, false);  // the current app, without a worker
  const app in_place({.eager = true});
  EXPECT_EQ(send_task<int>("eager.outer", {.where = &in_place}).get(30s), 42);
  EXPECT_FALSE(this_call::running());
}

}  // namespace
}  // namespace tutti::cluster
