#include <gtest/gtest.h>
#include <tests/support/child.hpp>
#include <tutti/process/shared_memory.hpp>

#include <tutti/base/error.hpp>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>

namespace tutti::detail {
namespace {

using tutti_test::child;
using tutti_test::talk;

// As on a system where signals arrive before more than that could be allocated.
bool interrupt_allocations_above(unsigned most_bytes) {
  constexpr unsigned length = offsetof(::seccomp_data, args) + 3 * sizeof(std::uint64_t);
  ::sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(::seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, length),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, most_bytes, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINTR),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  ::sock_fprog program{sizeof rules / sizeof *rules, rules};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(SharedMemory, IsMadeOfZeroesAndSeenByWhoeverHasItsDescriptor) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{10'000'000}}) {
    const shared_memory here(size, "a test");
    const shared_memory there(unique_fd(::dup(here.fd())), "a test");
    EXPECT_EQ(there.size(), size);
    EXPECT_EQ(std::count(there.data(), there.data() + size, std::byte{}), static_cast<std::ptrdiff_t>(size));
    here.data()[size - 1] = std::byte{7};
    EXPECT_EQ(there.data()[size - 1], std::byte{7});
  }
}

// Whoever inherited it as a stream would print into it.
TEST(SharedMemory, IsNoStreamWhereStreamsAreClosed) {
  child without([](const talk&) {
    for (int fd = 0; fd < 3; ++fd) ::close(fd);
    const shared_memory made(100, "a test");
    const shared_memory given(unique_fd(::dup(made.fd())), "a test");  // the copy is 0
    return made.fd() > 2 && given.fd() > 2 && ::fcntl(0, F_GETFD) < 0 ? 0 : 1;
  });
  EXPECT_EQ(without.join(), 0);
}

TEST(SharedMemory, IsMadeHoweverOftenSignalsArrive) {
  child interrupted([](const talk&) {
    if (!interrupt_allocations_above(10'000)) return 1;
    const shared_memory memory(1'000'001, "a test");
    return std::count(memory.data(), memory.data() + memory.size(), std::byte{}) == 1'000'001 ? 0 : 2;
  });
  EXPECT_EQ(interrupted.join(), 0);
}

// A limit that would kill by a signal is an error like others; a signal that had been there before stays.
TEST(SharedMemory, TheLimitOfFilesIsAnErrorAndNoSignal) {
  child limited([](const talk&) {
    const ::rlimit most{100'000, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &most) != 0) return 1;
    const auto refused = [] {
      try {
        const shared_memory memory(1'000'000, "a test");
      } catch (const os_error& e) {
        return e.code() == EFBIG;
      }
      return false;
    };
    const auto is_pending = [] {
      ::sigset_t pending;
      ::sigpending(&pending);
      return ::sigismember(&pending, SIGXFSZ) == 1;
    };
    if (!refused()) return 2;
    ::sigset_t only, before;
    ::sigemptyset(&only);
    ::sigaddset(&only, SIGXFSZ);
    ::pthread_sigmask(SIG_BLOCK, &only, &before);
    if (::sigismember(&before, SIGXFSZ) == 1 || is_pending()) return 3;
    if (!refused() || is_pending()) return 4;
    ::raise(SIGXFSZ);
    return refused() && is_pending() ? 0 : 5;
  });
  EXPECT_EQ(limited.join(), 0);
}

}  // namespace
}  // namespace tutti::detail
