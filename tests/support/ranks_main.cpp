// main of test programs that run as several ranks: every rank runs all tests, and all fail when one does.
#include <tutti/base/init.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/op.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <string>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
static bool leaks_were_looked_for = false;
// At the end of the process the libraries of MPI are unloaded, and what they leak is nobody's.
extern "C" int __lsan_is_turned_off() { return leaks_were_looked_for ? 1 : 0; }
#elif defined(__SANITIZE_THREAD__)
extern "C" const char* __tsan_default_options() { return "halt_on_error=1:second_deadlock_stack=1:atexit_sleep_ms=0"; }
// See test_main.cpp.
extern "C" const char* __tsan_default_suppressions() {
  return "race:std::__exception_ptr::exception_ptr::_M_release\n"
         "race:std::logic_error::~logic_error\n"
         "race:std::runtime_error::~runtime_error\n";
}
#endif

namespace {

// Of ranks other than 0 only what failed is shown.
class failures_only : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& info) override { test_ = &info; }
  void OnTestEnd(const testing::TestInfo& /*info*/) override { test_ = nullptr; }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    const auto* const test = test_;  // current_test_info() would wait for the lock that is held here
    std::string text = "rank " + std::to_string(tutti::mpi::world().rank());
    if (test != nullptr) text += std::string(" in ") + test->test_suite_name() + "." + test->name();
    text += ": " + std::string(result.file_name() != nullptr ? result.file_name() : "") + ":" +
            std::to_string(result.line_number()) + ": " + result.message() + "\n";
    std::cout << text << std::flush;
  }
  const testing::TestInfo* test_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  testing::InitGoogleMock(&argc, argv);
  const tutti::mpi::environment mpi;
  const auto world = tutti::mpi::world();
  if (world.rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new failures_only);
  }
  int failed = RUN_ALL_TESTS();
#if defined(__SANITIZE_ADDRESS__)
  if (__lsan_do_recoverable_leak_check() != 0) failed = 1;
  leaks_were_looked_for = true;
#endif
  return world.allreduce(failed, tutti::mpi::max);
}
