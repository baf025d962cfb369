// No processes, no descriptors, no memory: a clear error, and nothing that was there is lost.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <string>
#include <tests/support/programs.hpp>
#include <tutti/process/processes.hpp>
#include <utility>
#include <vector>

namespace spec_exhausted {

int same(int n) { return n; }
int pid() { return ::getpid(); }
std::size_t length(const std::string& text) { return text.size(); }
std::string big(std::size_t bytes) { return std::string(bytes, 'b'); }
int first_of(tutti::shared_array<int> numbers) { return numbers[0]; }

}  // namespace spec_exhausted

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_exhausted;
using testing::AnyOf;
using testing::HasSubstr;

// From now on a call of the system fails in this process and all that it starts.
void refuse(const std::vector<std::pair<long, int>>& calls, bool only_forks = false) {
  std::vector<::sock_filter> filter;
  filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(::seccomp_data, nr)));
  for (const auto& [number, error] : calls) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
  }
  if (only_forks) {  // clone, but for what shares memory: threads, and the first half of posix_spawn
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3));
    filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(::seccomp_data, args[0])));
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_VM, 1, 0));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const ::sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program), 0);
}

template <class F>
int code_of(F f) {
  try {
    f();
  } catch (const os_error& e) {
    EXPECT_FALSE(std::string(e.what()).empty());
    return e.code();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "not an os_error: " << e.what();
    return -1;
  }
  return 0;
}

TEST(SpecExhaustedProgram, DISABLED_ForksFailAtOnce) {
  refuse({}, true);
  EXPECT_EQ(code_of([] { process(fn<pid>).join(); }), EAGAIN);
  EXPECT_EQ(code_of([] {
              process_pool pool(2);
              for (int i = 0; i < 3; ++i) EXPECT_EQ(code_of([&] { pool.submit<same>(1).get(); }), EAGAIN);
            }) % EAGAIN,
            0);
}

TEST(SpecExhaustedProgram, DISABLED_AllStartsFail) {
  refuse({{SYS_clone, EAGAIN}, {SYS_clone3, EAGAIN}, {SYS_fork, EAGAIN}, {SYS_vfork, EAGAIN}});
  EXPECT_EQ(code_of([] { process::exec({"true"}); }), EAGAIN);
  EXPECT_EQ(code_of([] { process(fn<pid>).join(); }), EAGAIN);
  EXPECT_EQ(code_of([] {
              process_pool pool(2);
              pool.submit<same>(1).get();
            }),
            EAGAIN);
}

TEST(SpecExhaustedProgram, DISABLED_NoMemoryForSegments) {
  process_pool pool(2);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  EXPECT_EQ(pool.submit<same>(2).get(), 2);
  refuse({{SYS_memfd_create, ENOMEM}});
  EXPECT_EQ(code_of([] { const shared_array<int> numbers(1000); }), ENOMEM);
  EXPECT_EQ(code_of([] { const shared_value<int> number(1); }), ENOMEM);
  EXPECT_EQ(code_of([] { const process_mutex lock("lock"); }), ENOMEM);
  EXPECT_EQ(code_of([] { const process_semaphore permits(1); }), ENOMEM);
  EXPECT_EQ(code_of([] { const process_queue<int> queue(1); }), ENOMEM);
  EXPECT_EQ(code_of([] { static_cast<void>(process_channel<int>::pair()); }), ENOMEM);
  // Calls that need none go on; those that need one fail alone, or find another way.
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(pool.submit<same>(i).get(), i);
    EXPECT_THAT(code_of([&] { EXPECT_EQ(pool.submit<length>(std::string(5'000'000, 'x')).get(), 5'000'000u); }),
                AnyOf(0, ENOMEM));
    EXPECT_THAT(code_of([&] { EXPECT_EQ(pool.submit<big>(5'000'000u).get().size(), 5'000'000u); }), AnyOf(0, ENOMEM));
  }
}

TEST(SpecExhaustedProgram, DISABLED_SegmentsCannotGrow) {
  process_pool pool(1);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  refuse({{SYS_fallocate, ENOSPC}, {SYS_ftruncate, ENOSPC}});
  const std::string text = tutti_test::text_of([] { const shared_array<char> letters(123'456'789); });
  EXPECT_THAT(text, testing::AllOf(HasSubstr("123456"), HasSubstr("bytes")));  // "names the bytes", with its own few
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(pool.submit<same>(i).get(), i);
    EXPECT_THAT(code_of([&] { EXPECT_EQ(pool.submit<length>(std::string(5'000'000, 'x')).get(), 5'000'000u); }),
                AnyOf(0, ENOSPC));
  }
}

TEST(SpecExhaustedProgram, DISABLED_WorkersCannotMakeSegments) {
  refuse({{SYS_memfd_create, ENOMEM}});
  try {
    process_pool pool(1);
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(pool.submit<same>(i).get(), i);
      EXPECT_THAT(code_of([&] { static_cast<void>(pool.submit<big>(5'000'000u).get()); }), AnyOf(0, ENOMEM));
    }
  } catch (const os_error& e) {
    EXPECT_EQ(e.code(), ENOMEM);
  }
}

class SpecExhausted : public testing::TestWithParam<const char*> {};
TEST_P(SpecExhausted, IsTold) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  if (std::string(GetParam()).find("Fail") != std::string::npos)
    GTEST_SKIP() << "sanitizers have threads and processes of their own, to look for leaks and names";
#endif
  process p = process::exec(tutti_test::program_of(std::string("SpecExhaustedProgram.DISABLED_") + GetParam()),
                            {.out = stdio::pipe(), .err = stdio::output()});
  const process_output said = p.communicate();
  EXPECT_TRUE(said.status.success()) << to_string(said.status) << '\n' << said.out;
}
INSTANTIATE_TEST_SUITE_P(Programs, SpecExhausted,
                         testing::Values("ForksFailAtOnce", "AllStartsFail", "NoMemoryForSegments",
                                         "SegmentsCannotGrow", "WorkersCannotMakeSegments"),
                         [](const auto& program) { return std::string(program.param); });

// As few descriptors as we have, for a while.
class no_descriptors {
 public:
  explicit no_descriptors(::rlim_t spare = 0) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int next = ::dup(0);
    ::close(next);
    const ::rlimit few{static_cast<::rlim_t>(next) + spare, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~no_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  no_descriptors(const no_descriptors&) = delete;
  no_descriptors& operator=(const no_descriptors&) = delete;

 private:
  ::rlimit before_{};
};

class SpecNoDescriptors : public tutti_test::tidy_test {
 protected:
  static void SetUpTestSuite() { process(fn<pid>).join(); }
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "the sanitizer itself needs descriptors to look at objects";
#endif
    tidy_test::SetUp();
  }
};

TEST_F(SpecNoDescriptors, StartsFailAndSucceedLater) {
  for (::rlim_t spare = 0; spare < 12; ++spare) {
    {
      const no_descriptors few(spare);
      EXPECT_THAT(code_of([] { process({.in = stdio::pipe(), .out = stdio::pipe()}, fn<pid>).communicate(); }),
                  AnyOf(0, EMFILE))
          << spare;
      EXPECT_THAT(code_of([] { process::exec({"true"}).join(); }), AnyOf(0, EMFILE)) << spare;
      EXPECT_THAT(code_of([] {
                    process_pool pool(2);
                    EXPECT_EQ(pool.submit<same>(1).get(), 1);
                  }),
                  AnyOf(0, EMFILE))
          << spare;
    }
    EXPECT_TRUE(process(fn<pid>).join().success()) << spare;
    process_pool pool(1);
    EXPECT_EQ(pool.submit<same>(1).get(), 1);
  }
}

TEST_F(SpecNoDescriptors, PoolGoesOn) {
  process_pool pool(2);
  std::vector<int> all(50);
  std::iota(all.begin(), all.end(), 0);
  for (int n : pool.map<same>(all)) EXPECT_GE(n, 0);
  const shared_array<int> numbers = shared_array<int>::copy_of(std::vector{4, 5});
  for (::rlim_t spare = 0; spare < 6; ++spare) {
    const no_descriptors few(spare);
    EXPECT_THAT(code_of([&] { EXPECT_EQ(pool.submit<first_of>(numbers).get(), 4); }), AnyOf(0, EMFILE)) << spare;
    EXPECT_THAT(code_of([&] { EXPECT_EQ(pool.submit<length>(std::string(5'000'000, 'x')).get(), 5'000'000u); }),
                AnyOf(0, EMFILE))
        << spare;
    EXPECT_THAT(code_of([&] { EXPECT_EQ(pool.submit<big>(5'000'000u).get().size(), 5'000'000u); }), AnyOf(0, EMFILE))
        << spare;
    EXPECT_THAT(code_of([] { const shared_array<int> more(10); }), AnyOf(0, EMFILE)) << spare;
    EXPECT_THAT(code_of([] { static_cast<void>(process_channel<int>::pair()); }), AnyOf(0, EMFILE)) << spare;
  }
  EXPECT_EQ(pool.submit<first_of>(numbers).get(), 4);
  EXPECT_EQ(pool.submit<length>(std::string(5'000'000, 'x')).get(), 5'000'000u);
  EXPECT_EQ(pool.submit<big>(5'000'000u).get().size(), 5'000'000u);
}

// The worker is well, and has lost nothing: "those that are there go on".
TEST_F(SpecNoDescriptors, ResultThatHasNoRoomCostsItsCallOnly) {
  process_pool pool(1);
  EXPECT_EQ(pool.submit<same>(1).get(), 1);
  const no_descriptors few;
  EXPECT_EQ(pool.submit<same>(2).get(), 2);
  EXPECT_EQ(code_of([&] { static_cast<void>(pool.submit<big>(5'000'000u).get()); }), EMFILE);
  EXPECT_EQ(code_of([&] { EXPECT_EQ(pool.submit<same>(3).get(), 3); }), 0);
}

// What cannot be received now is an error, and what comes after it is received later.
TEST_F(SpecNoDescriptors, ElementsWithHandlesAreReceivedLater) {
  auto [in, out] = process_channel<shared_array<int>>::simplex();
  process_queue<shared_array<int>> queue(4);
  for (int i = 0; i < 3; ++i) {
    out.send(shared_array<int>::copy_of(std::vector{i}));
    queue.send(shared_array<int>::copy_of(std::vector{i}));
  }
  {
    const no_descriptors few;
    EXPECT_EQ(code_of([&] { static_cast<void>(in.receive_for(1s)); }), EMFILE);
    EXPECT_EQ(code_of([&] { static_cast<void>(queue.receive_for(1s)); }), EMFILE);
  }
  for (auto receive : {+[](decltype(in)& i, decltype(queue)&) { return i.receive_for(1s); },
                       +[](decltype(in)&, decltype(queue)& q) { return q.receive_for(1s); }}) {
    const auto got = receive(in, queue);
    ASSERT_TRUE(got);
    EXPECT_LE((*got)[0], 1);  // the first again, or the second
  }
}

TEST_F(SpecNoDescriptors, WorkerDiesMeanwhile) {
  process_pool pool(1);
  const int id = pool.submit<pid>().get();
  const unique_fd worker = tutti_test::watch(id);
  std::vector<future<int>> waiting;
  {
    const no_descriptors few;
    ::kill(id, SIGKILL);
    ASSERT_TRUE(tutti_test::ends(worker));
    for (int i = 0; i < 3; ++i) waiting.push_back(pool.submit<same>(i));
    // "os_error for those that wait, when no worker is left"
    for (int i = 0; i < 3; ++i) {
      EXPECT_THAT(code_of([&] { EXPECT_EQ(waiting[static_cast<std::size_t>(i)].get(), i); }), AnyOf(0, EMFILE));
    }
  }
  EXPECT_EQ(pool.submit<same>(5).get(), 5);  // "the next submit tries anew"
}

}  // namespace
}  // namespace tutti
