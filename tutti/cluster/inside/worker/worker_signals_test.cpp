// worker_signals: one listener after the other, and none where there is no thread.
#include <gtest/gtest.h>
#include <tutti/cluster/inside/worker/worker_signals.hpp>

#include <tests/support/eventually.hpp>
#include <tests/support/no_threads.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <system_error>

namespace tutti::cluster {
namespace {

using tutti_test::eventually;

TEST(WorkerSignals, AreHeardByOneAfterTheOther) {
  for (int i = 0; i < 3; ++i) {
    std::atomic<int> warm{0}, cold{0};
    const worker_signals listening([&] { ++warm; }, [&] { ++cold; });
    EXPECT_THROW(worker_signals([] {}, [] {}), std::logic_error);
    ASSERT_EQ(::raise(SIGTERM), 0);
    ASSERT_EQ(::raise(SIGINT), 0);
    EXPECT_TRUE(eventually([&] { return warm == 1 && cold == 1; }));
  }
}

// How a forked process ends that does this.
int status_of(void (*does)()) {
  const ::pid_t child = ::fork();
  if (child == 0) {
    does();
    ::_exit(1);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST(WorkerSignals, AreTheChildsOwnAfterAFork) {
  std::atomic<int> warm{0}, cold{0};
  const worker_signals listening([&] { ++warm; }, [&] { ++cold; });
  const int status = status_of([] { (void)::raise(SIGTERM); });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
  EXPECT_EQ(warm, 0);
#ifndef TUTTI_TEST_TSAN
  EXPECT_EQ(status_of([] {
              const worker_signals of_child([] { ::_exit(0); }, [] {});
              (void)::raise(SIGTERM);
              for (;;) ::pause();
            }),
            0);
#endif
  ASSERT_EQ(::raise(SIGQUIT), 0);
  EXPECT_TRUE(eventually([&] { return cold == 1; }));
  EXPECT_EQ(warm, 0);
}

#ifndef TUTTI_TEST_TSAN
[[noreturn]] void listen_without_a_thread() {
  tutti_test::become_somebody();
  try {
    const tutti_test::no_threads refused;
    const worker_signals none([] {}, [] {});
  } catch (const std::system_error& e) {
    (void)std::fprintf(stderr, "refused\n");
  }
  const worker_signals listening([] { _exit(0); }, [] {});
  (void)::raise(SIGTERM);
  for (;;) ::pause();
}

TEST(WorkerSignalsDeath, AreHeardAgainAfterAThreadWasRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(listen_without_a_thread(), testing::ExitedWithCode(0), "refused");
}
#endif

}  // namespace
}  // namespace tutti::cluster
