// last_resort: it ends the process when something does not end, and only then.
#include <gtest/gtest.h>
#include <tutti/cluster/inside/worker/last_resort.hpp>

#include <tutti/base/log.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

namespace tutti::cluster {
namespace {

using namespace std::chrono_literals;

job_ptr named(const std::string& task) {
  auto one = std::make_shared<job>();
  one->message.task = task;
  one->message.id = "id-of-it";
  return one;
}

// A process of its own does this, until it is ended.
[[noreturn]] void run_for_ever(const job_ptr& one, const std::function<void(const job_ptr&)>& lose) {
  job_queue jobs(1, {});
  jobs.put({one});
  const job_ptr runs = jobs.take(0);
  last_resort end(jobs, lose);
  end.begin(1ms);
  for (;;) ::pause();
}

[[noreturn]] void run_deaf() {
  run_for_ever(named("deaf"), [](const job_ptr&) { ::_exit(2); });
}

[[noreturn]] void run_early() {
  const job_ptr early = named("early");
  early->acknowledged.store(true);
  run_for_ever(early, [](const job_ptr& one) {
    (void)std::fprintf(stderr, "%s is lost, and that was told: %d\n", one->message.task.c_str(), one->over.load());
  });
}

// Nobody reads it.
class stuck_sink final : public log_sink {
 public:
  void write(const log_record& /*record*/) override {
    for (;;) ::pause();
  }
};

[[noreturn]] void run_with_a_log_that_blocks() {
  set_log_sink(std::make_shared<stuck_sink>());
  run_deaf();
}

[[noreturn]] void end_with_a_log_that_blocks() {
  set_log_sink(std::make_shared<stuck_sink>());
  job_queue jobs(1, {});
  last_resort end(jobs, [](const job_ptr&) {});
  end.begin(1ms);
  log(log_level::error, "it does not end, although nothing runs");
  ::_exit(2);
}

TEST(LastResortDeathTest, EndsAProcessWhoseTaskDoesNot) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(run_deaf(), testing::ExitedWithCode(1), "a task still runs.*deaf.*id-of-it");
}

TEST(LastResortDeathTest, TellsOfWhatIsLost) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(run_early(), testing::ExitedWithCode(1), "early is lost, and that was told: 1");
}

TEST(LastResortDeathTest, DoesNotWaitForTheLog) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(run_with_a_log_that_blocks(), testing::ExitedWithCode(1), "");
  EXPECT_EXIT(end_with_a_log_that_blocks(), testing::ExitedWithCode(1), "");
}

TEST(LastResort, LeavesAProcessInWhichNothingRuns) {
  job_queue jobs(1, {});
  jobs.put({named("waits")});
  last_resort end(jobs, [](const job_ptr&) {});
  end.begin(1h);
  end.end();
  end.begin(1h);
}

}  // namespace
}  // namespace tutti::cluster
