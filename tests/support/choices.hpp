// choices: random decisions of stress tests. The seed is printed; TUTTI_TEST_SEED repeats a run's choices (the schedule
// is the machine's).
#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace tutti_test {

inline std::uint64_t seed() {
  static const std::uint64_t chosen = [] {
    const char* given = std::getenv("TUTTI_TEST_SEED");  // NOLINT(concurrency-mt-unsafe)
    const std::uint64_t value = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
    std::printf("TUTTI_TEST_SEED=%llu\n", static_cast<unsigned long long>(value));
    return value;
  }();
  return chosen;
}

class choices {
 public:
  explicit choices(std::uint64_t salt) : engine_(seed() * 1000 + salt) {}
  unsigned below(unsigned n) { return static_cast<unsigned>(engine_() % n); }
  bool one_in(unsigned n) { return below(n) == 0; }
  std::chrono::microseconds short_time() { return std::chrono::microseconds(below(60)); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace tutti_test
