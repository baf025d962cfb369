#include <gtest/gtest.h>
#include <sys/resource.h>
#include <tests/support/child.hpp>
#include <tutti/process/process_key.hpp>

#include <tutti/base/error.hpp>

#include <cerrno>
#include <string_view>
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
  EXPECT_EQ(forked.join(), 0);
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

// As many descriptors as the limit says can be opened. The limit of before.
::rlimit limit_descriptors(::rlim_t most) {
  ::rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const ::rlimit now{most, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &now);
  return before;
}

// The answer to who one is must not depend on when it is asked.
TEST(ProcessKey, IsOneForEverAlsoWhenNoFileCanBeOpenedAtFirst) {
  child forked([](const talk&) {
    const ::rlimit before = limit_descriptors(0);
    const process_key first = this_process();
    ::setrlimit(RLIMIT_NOFILE, &before);
    return first == this_process() && pid_of(first) == ::getpid() && is_running(first) ? 0 : 1;
  });
  EXPECT_EQ(forked.join(), 0);
}

TEST(ProcessKey, IsAskedForWhereItCanStillBeRefused) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer itself needs descriptors to look at objects";
#endif
  child forked([](const talk&) {
    const ::rlimit before = limit_descriptors(0);
    try {
      know_this_process("this test");
      return 1;
    } catch (const os_error& e) {
      if (e.code() != EMFILE || std::string_view(e.what()).find("this test: cannot read /proc/self/stat") != 0)
        return 2;
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    know_this_process("this test");
    static_cast<void>(limit_descriptors(0));
    know_this_process("this test");  // for ever
    return this_process() != static_cast<process_key>(::getpid()) ? 0 : 3;
  });
  EXPECT_EQ(forked.join(), 0);
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
