// Leaks and limits that a call leaves in its worker: they cost that call, or that worker, and nothing else.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <tests/support/programs.hpp>
#include <thread>
#include <tutti/process/processes.hpp>
#include <vector>

namespace spec_leaks {

int same(int n) { return n; }
int pid() { return ::getpid(); }
std::size_t length(const std::string& text) { return text.size(); }
std::string big(std::size_t bytes) { return std::string(bytes, 'b'); }
int sum_of(tutti::shared_array<int> numbers) { return numbers[0] + numbers[1]; }
tutti::shared_array<int> made() { return tutti::shared_array<int>::copy_of(std::vector{1, 2}); }
int link_of(tutti::process_channel<int> link) {
  link.send(4);
  return 1;
}

int leak(const std::string& what) {
  if (what == "descriptors") {
    while (::open("/dev/null", O_RDONLY) >= 0) {
    }
  }
  if (what == "closed") ::close_range(0, ~0U, 0);
  if (what == "threads") {
    for (int i = 0; i < 50; ++i) {
      std::thread([] {
        for (;;) ::pause();
      }).detach();
    }
  }
  return 1;
}

}  // namespace spec_leaks

namespace tutti {
namespace {

using namespace std::chrono_literals;
using namespace spec_leaks;

class SpecPoolLeaks : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ::alarm(60);
    EXPECT_EQ(pool_.submit<leak>(GetParam()).get(), 1);
  }
  void TearDown() override { ::alarm(0); }
  process_pool pool_{1};
  const int worker_ = pool_.submit<pid>().get();
};

TEST_P(SpecPoolLeaks, SmallCallsGoOn) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool_.submit<same>(i).get(), i);
}
TEST_P(SpecPoolLeaks, LongArgumentsGoOn) { EXPECT_EQ(pool_.submit<length>(big(1'000'000)).get(), 1'000'000u); }
// If not at once: a worker that cannot do what is asked of it is replaced at some time.
TEST_P(SpecPoolLeaks, LongArgumentsGoOnAtLast) {
  bool good = false;
  for (int i = 0; i < 20 && !good; ++i) {
    auto result = pool_.submit<length>(big(1'000'000));
    if (!result.wait_for(1500ms)) {
      ::kill(worker_, SIGKILL);  // or the pool would not end
      FAIL() << "call " << i << " hangs";
    }
    try {
      good = result.get() == 1'000'000u;
    } catch (const os_error&) {
    }
  }
  EXPECT_TRUE(good);
}
TEST_P(SpecPoolLeaks, LongResultsGoOn) { EXPECT_EQ(pool_.submit<big>(1'000'000u).get().size(), 1'000'000u); }
TEST_P(SpecPoolLeaks, HandlesAsArgumentsGoOn) {
  EXPECT_EQ(pool_.submit<sum_of>(shared_array<int>::copy_of(std::vector{3, 4})).get(), 7);
}
TEST_P(SpecPoolLeaks, HandlesAsResultsGoOn) { EXPECT_EQ(pool_.submit<made>().get()[1], 2); }
TEST_P(SpecPoolLeaks, ChannelsGoOn) {
  auto [here, there] = process_channel<int>::pair();
  EXPECT_EQ(pool_.submit<link_of>(std::move(there)).get(), 1);
  EXPECT_EQ(here.receive(), 4);
}

INSTANTIATE_TEST_SUITE_P(Of, SpecPoolLeaks, testing::Values("descriptors", "closed", "threads"));

}  // namespace
}  // namespace tutti
