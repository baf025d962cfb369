// main of test programs that run as several ranks: every rank runs all tests, and all fail when one does.
#include <tutti/base/init.hpp>
#include <tutti/mpi/environment.hpp>
#include <tutti/mpi/op.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <string>

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
  const int failed = RUN_ALL_TESTS();
  return world.allreduce(failed, tutti::mpi::max);
}
