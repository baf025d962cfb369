// What a call leaves in its worker: closed descriptors, another directory, signal handlers; and many pools.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <tests/support/programs.hpp>
#include <tutti/process/processes.hpp>
#include <vector>

namespace spec_manners {

int same(int n) { return n; }
int pid() { return ::getpid(); }
std::string big(std::size_t bytes) { return std::string(bytes, 'b'); }
std::size_t length(const std::string& text) { return text.size(); }
int close_all(int n) {
  ::close_range(0, ~0U, 0);
  return n;
}
int close_one_by_one(int n) {
  for (int fd = 0; fd < 1024; ++fd) ::close(fd);
  std::printf("into nothing %d\n", n);
  return n;
}
/// Its descriptors are not what they were, but there are some of those numbers.
int replace_all(int n) {
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 256; ++fd) ::dup2(null, fd);
  return n;
}
int use_all_descriptors(int n) {
  while (::open("/dev/null", O_RDONLY) >= 0) {
  }
  return n;
}
std::string go_to(const std::string& path) {
  if (::chdir(path.c_str()) != 0) throw std::runtime_error("cannot go there");
  return std::filesystem::current_path();
}
std::string where() {
  char path[4096];
  return ::getcwd(path, sizeof path) != nullptr ? path : "nowhere";
}
int handle_signals() {
  for (int number : {SIGCHLD, SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGIO, SIGURG, SIGALRM}) {
    ::signal(number, [](int) {});
  }
  for (int number : {SIGCHLD, SIGPIPE, SIGUSR1, SIGIO, SIGURG, SIGALRM}) ::raise(number);
  return 1;
}
int ignore_children() {
  ::signal(SIGCHLD, SIG_IGN);
  return 1;
}
int changes_its_mask() {
  ::umask(0777);
  ::setsid();
  ::sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  return 1;
}

}  // namespace spec_manners

namespace tutti {
namespace {

using namespace spec_manners;

class SpecPoolManners : public testing::Test {
 protected:
  void SetUp() override { ::alarm(60); }
  void TearDown() override { ::alarm(0); }
  // The same worker goes on, after whatever was done.
  void goes_on() { EXPECT_EQ(pool_.submit<pid>().get(), worker_); }
  process_pool pool_{1};
  const int worker_ = pool_.submit<pid>().get();
};

TEST_F(SpecPoolManners, ClosesAllDescriptors) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(pool_.submit<close_all>(i).get(), i);
    EXPECT_EQ(pool_.submit<same>(i).get(), i);
    EXPECT_EQ(pool_.submit<close_one_by_one>(i).get(), i);
    EXPECT_EQ(pool_.submit<same>(i).get(), i);
    EXPECT_EQ(pool_.submit<length>(big(1'000'000)).get(), 1'000'000u);
  }
}

TEST_F(SpecPoolManners, ReplacesAllDescriptors) {
  EXPECT_EQ(pool_.submit<replace_all>(1).get(), 1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(pool_.submit<same>(i).get(), i);
  EXPECT_EQ(pool_.submit<length>(big(1'000'000)).get(), 1'000'000u);
}

TEST_F(SpecPoolManners, UsesAllDescriptors) {
  EXPECT_EQ(pool_.submit<use_all_descriptors>(1).get(), 1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(pool_.submit<same>(i).get(), i);
  EXPECT_EQ(pool_.submit<length>(big(1'000'000)).get(), 1'000'000u);
  EXPECT_EQ(pool_.submit<big>(1'000'000u).get().size(), 1'000'000u);
}

// The same with calls that need no descriptor of their own.
TEST_F(SpecPoolManners, UsesAllDescriptorsAndIsAskedForLittle) {
  EXPECT_EQ(pool_.submit<use_all_descriptors>(1).get(), 1);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(pool_.submit<same>(i).get(), i);
}

TEST_F(SpecPoolManners, ChangesTheDirectory) {
  const std::string here = pool_.submit<where>().get();
  EXPECT_EQ(here, where());
  EXPECT_EQ(pool_.submit<go_to>("/").get(), "/");
  EXPECT_EQ(pool_.submit<where>().get(), "/");  // "later calls of that worker see it"
  EXPECT_EQ(where(), here);
  EXPECT_THROW(pool_.submit<go_to>("/no/such/folder").get(), std::runtime_error);
  goes_on();
  ::kill(worker_, SIGKILL);
  EXPECT_TRUE(tutti_test::ends(worker_));
  EXPECT_EQ(pool_.submit<where>().get(), here);
}

TEST_F(SpecPoolManners, InstallsSignalHandlers) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's own handlers do not bear signals in a thread that it does not know";
#endif
  EXPECT_EQ(pool_.submit<handle_signals>().get(), 1);
  goes_on();
  EXPECT_EQ(pool_.submit<ignore_children>().get(), 1);
  goes_on();
  EXPECT_EQ(pool_.submit<changes_its_mask>().get(), 1);
  goes_on();
  for (int number : {SIGINT, SIGUSR1, SIGALRM, SIGPIPE}) ::kill(worker_, number);
  goes_on();
}

TEST(SpecPoolMany, OpenedAndClosed) {
  {
    const process_pool first(1);
  }
  const int descriptors = tutti_test::open_descriptors();
  for (int i = 0; i < 100; ++i) {
    process_pool pool(2);
    if (i % 3 == 0) {
      EXPECT_EQ(pool.submit<same>(i).get(), i);
    }
  }
  EXPECT_LE(tutti_test::settled_descriptors(descriptors), descriptors);
}

TEST(SpecPoolMany, OpenAtOnce) {
  std::vector<std::unique_ptr<process_pool>> pools;
  for (int i = 0; i < 100; ++i) pools.push_back(std::make_unique<process_pool>(1));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(pools[static_cast<std::size_t>(i)]->submit<same>(i).get(), i);
}

}  // namespace
}  // namespace tutti
