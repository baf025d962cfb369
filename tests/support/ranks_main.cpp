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
  void OnTestStart(const testing::TestInfo& test) override {
    test_ = std::string(" in ") + test.test_suite_name() + "." + test.name();
  }
  void OnTestEnd(const testing::TestInfo& /*test*/) override { test_.clear(); }
  // Called under GoogleTest's lock: asking it which test runs would wait for ever.
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::string text = "rank " + std::to_string(tutti::mpi::world().rank());
    text += test_ + ": " + std::string(result.file_name() != nullptr ? result.file_name() : "") + ":" +
            std::to_string(result.line_number()) + ": " + result.message() + "\n";
    std::cout << text << std::flush;
  }
  std::string test_;
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
