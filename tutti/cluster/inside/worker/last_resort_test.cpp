// last_resort: it ends the process when something runs, and only then.
#include <gtest/gtest.h>
#include <tutti/cluster/inside/worker/last_resort.hpp>

#include <unistd.h>

#include <chrono>
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
[[noreturn]] void run_for_ever(std::chrono::nanoseconds patience) {
  job_queue jobs(1, {});
  jobs.put({named("deaf")});
  const job_ptr runs = jobs.take(0);
  last_resort end(jobs);
  end.begin(patience);
  for (;;) ::pause();
}

TEST(LastResortDeathTest, EndsAProcessWhoseTaskDoesNot) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(run_for_ever(1ms), testing::ExitedWithCode(1), "a task still runs.*deaf.*id-of-it");
}

TEST(LastResort, LeavesAProcessInWhichNothingRuns) {
  job_queue jobs(1, {});
  jobs.put({named("waits")});
  last_resort end(jobs);
  end.begin(0ns);
  end.end();
  end.begin(1h);
}

}  // namespace
}  // namespace tutti::cluster
