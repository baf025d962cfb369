// contracts: random inputs, executors of any size and callbacks that fail, for tests of what algorithms promise.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <limits>
#include <optional>
#include <random>
#include <stdexcept>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/parallel/options.hpp>
#include <utility>
#include <vector>

namespace contract {

using namespace tutti;
using counters = std::vector<std::atomic<int>>;

inline local_executor& some_executor(std::mt19937& random) {
  static std::array<thread_pool, 4> pools{thread_pool(1), thread_pool(2), thread_pool(3), thread_pool(8)};
  static inline_executor serial;
  const std::size_t which = random() % 5;
  if (which == 4) return serial;
  return pools[which];
}
inline std::size_t some_size(std::mt19937& random, std::size_t most = 20'000) {
  const std::size_t scale = std::array<std::size_t, 4>{2, 20, 1'000, most}[random() % 4];
  return random() % (scale + 1);
}
inline loop_options some_grain(std::mt19937& random) {
  const std::array<std::optional<std::size_t>, 4> grains{
      1 + random() % 9, 1 + random() % 5'000, std::numeric_limits<std::size_t>::max() - random() % 3, {}};
  return {.grain = grains[random() % 4]};
}
inline bool all_are(const counters& hits, int expected) {
  return std::ranges::all_of(hits, [&](const auto& h) { return h == expected; });
}

// Makes loops long enough to be divided.
inline void dawdle() {
  thread_local std::atomic<unsigned> calls = 0;
  if (++calls % 64 != 0) return;
  for (unsigned i = 0; i < 256; ++i) calls.store(calls.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

// A callback whose n-th call, of all threads, throws.
inline constexpr long never = std::numeric_limits<long>::max();
struct call_counter {
  void operator()() {
    ++running;
    dawdle();
    const bool fails = --left == 0;
    --running;
    if (fails) throw std::out_of_range("the n-th call");
  }
  // Whether `f` throws exactly if there are that many calls, and nobody is inside any more.
  template <class F>
  bool judges(F&& f) {
    bool thrown = false;
    try {
      f();
    } catch (const std::out_of_range&) {
      thrown = true;
    }
    return running == 0 && thrown == (left <= 0);
  }
  std::atomic<long> left;
  std::atomic<int> running{0};
};

}  // namespace contract
