// ticks: which counter can be trusted, and how fast it runs.
#include <tutti/trace/ticks.hpp>

#include <chrono>
#include <cmath>
#include <fstream>
#include <string>

namespace tutti::detail {
namespace {

#if defined(__x86_64__)
// The kernel checks at boot, and goes on checking, that the counters of all cores agree and run evenly; when they do
// not, it takes another clock. What it says in the processor's flags is the processor's promise, not that.
bool kernel_trusts_counter() {
  std::ifstream file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  std::string name;
  if (file >> name) return name == "tsc";
  return false;
}

bool counter_is_invariant() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags")) continue;
    line += ' ';
    return line.find(" constant_tsc ") != std::string::npos && line.find(" nonstop_tsc ") != std::string::npos;
  }
  return false;
}
#endif

}  // namespace

std::uint64_t clock_ticks() noexcept {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

bool has_cpu_ticks() noexcept {
#if defined(__x86_64__)
  static const bool trusted = [] {
    try {
      return counter_is_invariant() && kernel_trusts_counter();
    } catch (...) {
      return false;
    }
  }();
  return trusted;
#elif defined(__aarch64__)
  return true;
#else
  return false;
#endif
}

tick_pair tick_pair::now(bool by_cpu) noexcept {
  constexpr int tries = 9;
  tick_pair best;
  std::uint64_t closest = ~std::uint64_t{0};
  for (int i = 0; i < tries; ++i) {
    const std::uint64_t before = detail::ticks(by_cpu);
    const auto ns = static_cast<std::int64_t>(clock_ticks());
    const std::uint64_t after = detail::ticks(by_cpu);
    if (after - before >= closest) continue;
    closest = after - before;
    best = {before + (after - before) / 2, ns};
  }
  return best;
}

tick_scale::tick_scale(const tick_pair& start, const tick_pair& end) noexcept
    : start_(start.ticks),
      duration_(end.ns > start.ns ? end.ns - start.ns : 0),
      ns_per_tick_(
          end.ticks > start.ticks ? static_cast<double>(duration_) / static_cast<double>(end.ticks - start.ticks) : 0) {
}

std::int64_t tick_scale::ns_since_start(std::uint64_t reading, unsigned low_bits) const noexcept {
  const unsigned high = 64 - low_bits;
  // The difference in as many bits as were kept, with its sign.
  const auto since = static_cast<std::int64_t>((reading - start_) << high) >> high;
  return std::llround(static_cast<double>(since) * ns_per_tick_);
}

}  // namespace tutti::detail
