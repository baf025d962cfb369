#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tutti/process/process_key.hpp>

#include <thread>

namespace tutti::detail {
namespace {

using tutti_test::child;
using tutti_test::talk;

TEST(ProcessKey, IsTheProcessAndItsStart) {
  EXPECT_EQ(pid_of(this_process()), ::getpid());
  EXPECT_EQ(this_process(), this_process());
  EXPECT_TRUE(is_running(this_process()));
  // The same id with another start time: somebody else, who is no more.
  EXPECT_FALSE(is_running(this_process() ^ (process_key{1} << 40)));
  EXPECT_TRUE(is_running(static_cast<process_key>(::getpid())));  // a start time that nobody knows
}

TEST(ProcessKey, OfAForkedChildIsAnother) {
  const process_key parent = this_process();
  const thread_key parents_thread = this_thread();
  child forked([&](const talk&) {
    if (this_process() == parent || pid_of(this_process()) != ::getpid()) return 1;
    if (this_thread() == parents_thread || !runs_here(this_thread()) || runs_here(parents_thread)) return 2;
    return is_running(parent) ? 0 : 3;
  });
  EXPECT_EQ(forked.exit_code(), 0);
}

TEST(ProcessKey, EndsWithTheProcessAlsoWhenNobodyHasWaitedForIt) {
  child forked([](const talk& parent) {
    parent.say();
    parent.wait_for_the_end();
    return 0;
  });
  forked.hear();
  const auto no_start = static_cast<process_key>(forked.pid());
  EXPECT_TRUE(is_running(no_start));
  forked.kill_to_zombie();
  EXPECT_FALSE(is_running(no_start));
  forked.kill();
  EXPECT_FALSE(is_running(no_start));
}

TEST(ThreadKey, IsTheThread) {
  EXPECT_TRUE(runs_here(this_thread()));
  EXPECT_EQ(pid_of_thread(this_thread()), ::getpid());
  thread_key other = 0;
  std::thread([&] { other = this_thread(); }).join();
  EXPECT_NE(other, this_thread());
}

}  // namespace
}  // namespace tutti::detail
