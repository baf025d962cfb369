// What may happen inside of a call or an initializer: it costs that call, and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <tests/support/programs.hpp>
#include <tutti/core/this_task.hpp>
#include <tutti/process/processes.hpp>
#include <vector>

namespace spec_failure {

int same(int n) { return n; }
int pid() { return ::getpid(); }

void end_by(const std::string& way) {
  if (way == "exit0") std::exit(0);
  if (way == "exit3") std::exit(3);
  if (way == "abort") std::abort();
  if (way == "segfault") tutti_test::segfault();
  if (way == "kill") ::raise(SIGKILL);
  if (way == "term") ::raise(SIGTERM);
}
int end_in_call(const std::string& way) {
  end_by(way);
  return -1;
}
/// Only the first so many of all workers end.
void end_at_first(tutti::shared_value<int> left, const std::string& way) {
  if (left.fetch_sub(1) > 0) end_by(way);
}
int end_unless(tutti::shared_value<int> left, const std::string& way) {
  if (left.fetch_sub(1) > 0) end_by(way);
  return 5;
}

int gate(tutti::shared_value<int> inside, tutti::shared_value<int> open, int n) {
  inside.fetch_add(1);
  inside.notify_all();
  open.wait(0);
  return n;
}

void until_killed() {
  for (;;) ::pause();
}
void stop_itself() {
  for (;;) ::raise(SIGSTOP);
}
std::size_t allocate(std::size_t bytes) {
  const auto all = std::make_unique<char[]>(bytes);
  for (std::size_t i = 0; i < bytes; i += 4096) all[i] = 1;
  asm volatile("" : : "r"(all.get()) : "memory");  // or it is not allocated at all
  return bytes;
}
void allocate_at_start(std::size_t bytes) { static_cast<void>(allocate(bytes)); }
void map_memory(std::size_t bytes) {
  void* const p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  ::munmap(p, bytes);
}
int refuses_to_stop() {
  struct ::sigaction act{};
  act.sa_handler = SIG_IGN;
  for (int number = 1; number < 65; ++number) ::sigaction(number, &act, nullptr);
  ::sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  return ::getpid();
}
void throws_number() { throw 42; }
void throw_at_first(tutti::shared_value<int> left) {
  if (left.fetch_sub(1) > 0) throw std::out_of_range("the initializer's own");
}

}  // namespace spec_failure

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_failure;
using testing::HasSubstr;

struct way {
  const char* name;
  std::optional<int> code, signal;
};
class SpecPoolFailure : public testing::TestWithParam<way> {
 protected:
  void SetUp() override { ::alarm(60); }
  void TearDown() override { ::alarm(0); }
  static void expect(const worker_lost& e) {
    EXPECT_EQ(e.exit_code(), GetParam().code);
    EXPECT_EQ(e.signal(), GetParam().signal);
    const auto signal = GetParam().signal;
    EXPECT_THAT(e.what(), HasSubstr(signal ? signal_name(*signal) : std::to_string(GetParam().code.value())));
  }
};

TEST_P(SpecPoolFailure, InACall) {
  process_pool pool({.workers = 2, .name = "victims"});
  const shared_value<int> inside(0), open(0);
  auto other = pool.submit<gate>(inside, open, 7);  // runs all the time on the other worker
  inside.wait(0);
  for (int i = 0; i < 5; ++i) {
    auto before = pool.submit<same>(i);
    auto bad = pool.submit<end_in_call>(GetParam().name);
    auto after = pool.submit<same>(i + 100);
    try {
      EXPECT_EQ(bad.get(), 0) << "has a result";
    } catch (const worker_lost& e) {
      expect(e);
      EXPECT_THAT(e.what(), HasSubstr("victims"));
      EXPECT_THAT(e.what(), HasSubstr("end_in_call"));
    }
    EXPECT_EQ(before.get(), i);
    EXPECT_EQ(after.get(), i + 100);
  }
  open.store(1);
  open.notify_all();
  EXPECT_EQ(other.get(), 7);
  EXPECT_EQ(pool.stats().lost, 5u);
}

TEST_P(SpecPoolFailure, InACallThatIsRetried) {
  process_pool pool(1);
  const shared_value<int> twice(2), often(100);
  EXPECT_EQ(pool.with({.retries = 2}).submit<end_unless>(twice, GetParam().name).get(), 5);
  EXPECT_EQ(pool.stats().retried, 2u);
  try {
    EXPECT_EQ(pool.with({.retries = 2}).submit<end_unless>(often, GetParam().name).get(), 0) << "has a result";
  } catch (const worker_lost& e) {
    expect(e);
  }
  EXPECT_EQ(often.load(), 97);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
}

TEST_P(SpecPoolFailure, InTheFirstInitializers) {
  const shared_value<int> left(2);
  process_pool pool({.workers = 1}, fn<end_at_first>, left, GetParam().name);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pool.submit<same>(i).get(), i);
  EXPECT_LE(left.load(), 0);
}

TEST_P(SpecPoolFailure, InEveryInitializer) {
  const shared_value<int> left(1'000'000);
  process_pool pool({.workers = 2}, fn<end_at_first>, left, GetParam().name);
  std::vector<future<int>> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(pool.submit<same>(i));
  for (auto& one : waiting) {
    try {
      EXPECT_EQ(one.get(), -1) << "has a result";
    } catch (const worker_lost& e) {
      expect(e);
      EXPECT_THAT(e.what(), HasSubstr("initializer"));
    }
  }
  // "the next submit tries anew"
  EXPECT_THROW(pool.submit<same>(1).get(), worker_lost);
  left.store(0);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
}

INSTANTIATE_TEST_SUITE_P(Ways, SpecPoolFailure,
                         testing::Values(way{"exit0", 0, {}}, way{"exit3", 3, {}}, way{"abort", {}, SIGABRT},
                                         way{"segfault", {}, SIGSEGV}, way{"kill", {}, SIGKILL},
                                         way{"term", {}, SIGTERM}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(SpecPoolFailureInitializer, ThrowsAtFirst) {
  const shared_value<int> left(2);
  process_pool pool({.workers = 1}, fn<throw_at_first>, left);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
}

TEST(SpecPoolFailureInitializer, ThrowsAlways) {
  const shared_value<int> left(1'000'000);
  process_pool pool({.workers = 2}, fn<throw_at_first>, left);
  auto one = pool.submit<same>(1), two = pool.submit<same>(2);
  EXPECT_THAT(tutti_test::text_of([&] { one.get(); }), HasSubstr("the initializer's own"));
  EXPECT_THROW(two.get(), std::out_of_range);
  EXPECT_EQ(pool.stats().queued, 0u);
  left.store(0);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
}

TEST(SpecPoolFailureInitializer, ThrowsWhatNobodyKnows) {
  process_pool pool({.workers = 1}, fn<throws_number>);
  try {
    EXPECT_EQ(pool.submit<same>(1).get(), -1) << "has a result";
  } catch (const remote_error& e) {
    EXPECT_EQ(e.type(), "int");
  }
}

TEST(SpecPoolFailureInitializer, ClosesAllOfAPoolWithoutCalls) {
  const shared_value<int> left(1'000'000);
  const process_pool pool({.workers = 3}, fn<end_at_first>, left, "segfault");
}

TEST(SpecPoolFailureMemory, UnderTheLimit) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizers' own allocators end the process";
#endif
  process_pool pool({.workers = 1, .memory_limit = 64u << 20});
  const int worker = pool.submit<pid>().get();
  EXPECT_EQ(pool.submit<allocate>(std::size_t{16} << 20).get(), std::size_t{16} << 20);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(pool.submit<allocate>(std::size_t{1} << 30).get(), std::bad_alloc);
    EXPECT_THROW(pool.submit<map_memory>(std::size_t{1} << 30).get(), std::bad_alloc);
    EXPECT_EQ(pool.submit<same>(i).get(), i);
  }
  EXPECT_EQ(pool.submit<pid>().get(), worker);  // "the worker lives on"
}

TEST(SpecPoolFailureMemory, UnderTheLimitInAnInitializer) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizers' own allocators end the process";
#endif
  process_pool pool({.workers = 1, .memory_limit = 64u << 20}, fn<allocate_at_start>, std::size_t{1} << 30);
  EXPECT_THROW(pool.submit<same>(1).get(), std::bad_alloc);
}

TEST(SpecPoolFailureMemory, LimitHoldsForEachNewWorker) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizers' own allocators end the process";
#endif
  process_pool pool({.workers = 1, .start = start_method::exec, .max_tasks_per_worker = 1, .memory_limit = 64u << 20});
  for (int i = 0; i < 3; ++i) EXPECT_THROW(pool.submit<allocate>(std::size_t{1} << 30).get(), std::bad_alloc);
}

TEST(SpecPoolFailureTimeout, StoppedByItself) {
  process_pool pool({.workers = 2, .grace = 0s});
  auto bad = pool.with({.timeout = 20ms}).submit<stop_itself>();
  EXPECT_THROW(bad.get(), timed_out);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(pool.submit<same>(i).get(), i);
}

TEST(SpecPoolFailureTimeout, IgnoresAllSignals) {
  process_pool pool({.workers = 1, .grace = 0s});
  const int first = pool.submit<refuses_to_stop>().get();
  const unique_fd worker = tutti_test::watch(first);
  EXPECT_THROW(pool.with({.timeout = 20ms}).submit<until_killed>().get(), timed_out);
  EXPECT_TRUE(tutti_test::ends(worker));
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
}

TEST(SpecPoolFailureTimeout, IgnoresAllSignalsAtTheEndOfThePool) {
  unique_fd worker;
  {
    process_pool pool(1);
    worker = tutti_test::watch(pool.submit<refuses_to_stop>().get());
  }
  EXPECT_TRUE(tutti_test::ends(worker));
}

TEST(SpecPoolFailureTimeout, CountsFromTheStartOfExecution) {
  process_pool pool({.workers = 1, .grace = 0s});
  const shared_value<int> inside(0), open(0);
  auto first = pool.submit<gate>(inside, open, 1);
  inside.wait(0);
  auto second = pool.with({.timeout = 20ms}).submit<same>(2);
  EXPECT_FALSE(second.wait_for(100ms));  // it waits longer for its turn than its timeout
  open.store(1);
  open.notify_all();
  EXPECT_EQ(first.get(), 1);
  EXPECT_EQ(second.get(), 2);
}

TEST(SpecPoolFailureTimeout, KillsNobodyElse) {
  process_pool pool({.workers = 2, .grace = 0s});
  const shared_value<int> inside(0), open(0);
  auto other = pool.submit<gate>(inside, open, 3);
  inside.wait(0);
  for (int i = 0; i < 3; ++i) EXPECT_THROW(pool.with({.timeout = 5ms}).submit<until_killed>().get(), timed_out);
  open.store(1);
  open.notify_all();
  EXPECT_EQ(other.get(), 3);
}

}  // namespace
}  // namespace tutti
