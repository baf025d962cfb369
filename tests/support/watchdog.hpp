// watchdog: ends a test program that hangs, and shows what it was doing.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <stop_token>
#include <thread>
#include <tutti/core/dump.hpp>

namespace tutti_test {

/// Aborts the program with tutti::dump() unless it is destroyed in time. Only for hangs: far more than any test takes.
class watchdog {
 public:
  explicit watchdog(std::chrono::seconds limit = std::chrono::seconds(60))
      : thread_([limit](const std::stop_token& stop) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
          const auto patience = 3 * limit;
#else
          const auto patience = limit;
#endif
          std::mutex mutex;
          std::condition_variable_any over;
          std::unique_lock lock(mutex);
          if (over.wait_for(lock, stop, patience, [] { return false; }) || stop.stop_requested()) return;
          const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
          std::cerr << "watchdog: " << (test == nullptr ? "the test" : test->name()) << " hangs:\n";
          tutti::dump(std::cerr);
          std::abort();
        }) {
  }

 private:
  std::jthread thread_;
};

}  // namespace tutti_test
