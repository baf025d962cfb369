// No processes, descriptors or memory to be had: clear errors, and a pool that lives on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tutti/process/process.hpp>
#include <tutti/process/process_pool.hpp>
#include <tutti/process/shared_array.hpp>

#include <tutti/base/error.hpp>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace system_limits_test {

int add(int a, int b) { return a + b; }
std::size_t length(const std::string& text) { return text.size(); }
double sum(tutti::shared_array<double> numbers) {
  double total = 0;
  for (const double n : numbers) total += n;
  return total;
}

void say(const std::string& text) { std::printf("%s\n", text.c_str()); }

// From now on forks fail here and in all that is started, but threads and posix_spawn work.
void forbid_forks() {
  constexpr unsigned flags = offsetof(::seccomp_data, args);  // the first argument of clone
  ::sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(::seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),  // its flags are out of sight: libraries then take clone
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, flags),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_VM, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  ::sock_fprog program{sizeof rules / sizeof *rules, rules};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    say("no filter");
}

template <class Try>
void say_os_error(Try attempt) {
  try {
    attempt();
    say("no error");
  } catch (const tutti::os_error& e) {
    say(std::to_string(e.code()) + ' ' + e.what());
  }
}

void without_processes() {
  forbid_forks();
  say_os_error([] { tutti::process p({.name = "job"}, tutti::fn<add>, 1, 2); });
  say_os_error([] { tutti::process::exec({"true"}, {.name = "job"}); });
  tutti::process_pool pool({.workers = 2, .name = "mill"});
  for (int i = 0; i < 2; ++i) say_os_error([&] { static_cast<void>(pool.submit<add>(1, 2).get()); });
}

void without_threads() {
  ::pthread_attr_t usual;
  if (::pthread_getattr_default_np(&usual) != 0) say("no attributes");
  ::pthread_attr_t huge = usual;  // no memory has room for such a stack
  ::pthread_attr_setstacksize(&huge, std::size_t{1} << 50);
  ::pthread_setattr_default_np(&huge);
  say_os_error([] { tutti::process p({.name = "job"}, tutti::fn<add>, 1, 2); });
  say_os_error([] { tutti::process::exec({"true"}, {.name = "job"}); });
  ::pthread_setattr_default_np(&usual);
  ::pthread_attr_destroy(&usual);
  say(to_string(tutti::process::exec({"true"}).join()));
}

void without_descriptors() {
  tutti::process_pool pool(1);
  tutti::shared_array<double> numbers(10);
  say(std::to_string(pool.submit<sum>(numbers).get()));
  std::vector<int> taken;
  for (int fd = 0; (fd = ::open("/dev/null", O_RDONLY)) >= 0;) taken.push_back(fd);
  say_os_error([&] { static_cast<void>(pool.submit<sum>(numbers)); });
  say_os_error([&] { tutti::process_pool another(1); });
  say_os_error([] { tutti::process::exec({"true"}, {.out = tutti::stdio::pipe()}); });
  say(std::to_string(pool.submit<add>(1, 2).get()));
  for (const int fd : taken) ::close(fd);
  say(std::to_string(pool.submit<sum>(numbers).get()));
}

void without_memory() {
  tutti::process_pool pool({.workers = 1, .name = "mill"});
  say(std::to_string(pool.submit<add>(1, 2).get()));
  ::signal(SIGXFSZ, SIG_IGN);
  const ::rlimit most{100'000, RLIM_INFINITY};
  ::setrlimit(RLIMIT_FSIZE, &most);  // segments are files to the kernel
  say_os_error([&] { static_cast<void>(pool.submit<length>(std::string(1'000'000, 'x')).get()); });
  say_os_error([] { const tutti::shared_array<char> much(1'000'000); });
  say(std::to_string(pool.submit<length>(std::string(1000, 'x')).get()));
}

}  // namespace system_limits_test

namespace tutti {
namespace {

using testing::HasSubstr;

std::vector<std::string> lines_of(process p) {
  const auto said = p.communicate();
  EXPECT_TRUE(said.status.success()) << to_string(said.status) << said.err;
  std::vector<std::string> lines;
  std::string line;
  for (const char c : said.out) {
    if (c != '\n') {
      line += c;
    } else {
      lines.push_back(std::exchange(line, {}));
    }
  }
  return lines;
}

TEST(SystemLimits, NoProcesses) {
  const auto said =
      lines_of(process({.out = stdio::pipe(), .err = stdio::pipe()}, fn<system_limits_test::without_processes>));
  ASSERT_EQ(said.size(), 4u);
  const std::string again = std::to_string(EAGAIN);
  EXPECT_EQ(said[0], again + " cannot start process \"job\": fork: Resource temporarily unavailable");
  EXPECT_EQ(said[1], said[0]);
  EXPECT_THAT(said[2], testing::AllOf(HasSubstr("\"mill/"), HasSubstr("Resource temporarily unavailable")));
  EXPECT_THAT(said[3], HasSubstr("Resource temporarily unavailable"));
}

TEST(SystemLimits, NoThreads) {
  const auto said =
      lines_of(process({.out = stdio::pipe(), .err = stdio::pipe()}, fn<system_limits_test::without_threads>));
  ASSERT_EQ(said.size(), 3u);
  EXPECT_THAT(said[0], testing::AllOf(testing::StartsWith(std::to_string(EAGAIN) + " cannot start process \"job\": "),
                                      HasSubstr("thread"), HasSubstr("Resource temporarily unavailable")));
  EXPECT_EQ(said[1], said[0]);
  EXPECT_EQ(said[2], to_string(exit_status::exited(0)));
}

TEST(SystemLimits, NoDescriptors) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer itself needs descriptors to look at objects";
#endif
  const resource_limit limits[] = {{RLIMIT_NOFILE, 64}};
  const auto said = lines_of(process({.out = stdio::pipe(), .err = stdio::pipe(), .limits = limits},
                                     fn<system_limits_test::without_descriptors>));
  ASSERT_EQ(said.size(), 6u);
  EXPECT_EQ(said[0], "0.000000");
  for (const std::size_t i : {1u, 2u, 3u}) EXPECT_THAT(said[i], HasSubstr("Too many open files"));
  EXPECT_EQ(said[4], "3");
  EXPECT_EQ(said[5], "0.000000");
}

TEST(SystemLimits, NoMemoryForSegments) {
  const auto said =
      lines_of(process({.out = stdio::pipe(), .err = stdio::pipe()}, fn<system_limits_test::without_memory>));
  ASSERT_EQ(said.size(), 4u);
  EXPECT_EQ(said[0], "3");
  EXPECT_THAT(said[1], testing::AllOf(HasSubstr("bytes of shared memory"), HasSubstr("File too large")));
  EXPECT_THAT(said[2], HasSubstr("File too large"));
  EXPECT_EQ(said[3], "1000");
}

}  // namespace
}  // namespace tutti
