// What /proc/loadavg says.
#include <apps/tutti/running_tasks.hpp>

#include <gtest/gtest.h>

namespace tutti::app {
namespace {

TEST(RunningTasks, TheFourthField) {
  EXPECT_EQ(running_tasks("0.20 0.18 0.12 3/80 11206\n"), 3);
  EXPECT_EQ(running_tasks("120.20 0.18 0.12 130/8000 11206"), 130);
  for (const char* text : {"", "0.20", "0.20 0.18 0.12", "0.20 0.18 0.12 ", "a b c d", "0 0 0 -3/2 1", "0 0 0 0/0 0"})
    EXPECT_EQ(running_tasks(text), 0) << text;
}

TEST(RunningTasks, OfThisMachineThereIsANumber) { EXPECT_GE(other_running_tasks(), 0); }

}  // namespace
}  // namespace tutti::app
