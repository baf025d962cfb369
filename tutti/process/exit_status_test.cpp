#include <gtest/gtest.h>
#include <tutti/process/exit_status.hpp>

#include <csignal>

namespace tutti {
namespace {

TEST(ExitStatus, IsACodeOrASignal) {
  const auto three = exit_status::exited(3);
  EXPECT_EQ(three.code(), 3);
  EXPECT_EQ(three.signal(), std::nullopt);
  EXPECT_EQ(three.value(), 3);
  EXPECT_FALSE(three.success());
  EXPECT_EQ(to_string(three), "exit code 3");
  const auto killed = exit_status::killed(SIGTERM);
  EXPECT_EQ(killed.code(), std::nullopt);
  EXPECT_EQ(killed.signal(), SIGTERM);
  EXPECT_EQ(killed.value(), -15);
  EXPECT_FALSE(killed.success());
  EXPECT_EQ(to_string(killed), "killed by SIGTERM");
  EXPECT_TRUE(exit_status::exited(0).success());
  EXPECT_NE(exit_status::exited(9), exit_status::killed(9));
}

TEST(ExitStatus, ReadsWhatWaitSays) {
  EXPECT_EQ(exit_status::of_wait(0), exit_status::exited(0));
  EXPECT_EQ(exit_status::of_wait(3 << 8), exit_status::exited(3));
  EXPECT_EQ(exit_status::of_wait(SIGSEGV), exit_status::killed(SIGSEGV));
  EXPECT_EQ(exit_status::of_wait(SIGSEGV | 0x80), exit_status::killed(SIGSEGV));  // with a core dump
}

TEST(ExitStatus, SignalsHaveNames) {
  EXPECT_EQ(signal_name(SIGSEGV), "SIGSEGV");
  EXPECT_EQ(signal_name(SIGRTMIN + 3), "signal " + std::to_string(SIGRTMIN + 3));
}

}  // namespace
}  // namespace tutti
