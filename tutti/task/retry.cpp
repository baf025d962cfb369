#include <tutti/task/retry.hpp>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>

namespace tutti::detail {
namespace {

[[noreturn]] void refuse(const char* what, const std::string& value, const char* way_out) {
  throw std::invalid_argument("retry: " + std::string(what) + " is " + value + "; " + way_out);
}

// From the system each time: forked processes that inherited a generator would come back together.
std::uint64_t any_seed() {
  std::random_device random;
  return (std::uint64_t{random()} << 32) | random();
}

}  // namespace

backoff::backoff(const retry_options& options)
    : options_(options),
      random_(options.seed == 0 ? any_seed() : options.seed),
      pause_(static_cast<double>(options.first_delay.count())) {
  if (options.attempts < 1) refuse("attempts", std::to_string(options.attempts), "give at least 1");
  if (!(options.factor >= 1)) refuse("factor", std::to_string(options.factor), "give 1 or more");
  if (!(options.jitter >= 0 && options.jitter <= 1)) refuse("jitter", std::to_string(options.jitter), "give 0 to 1");
  if (options.first_delay.count() < 0 || options.max_delay.count() < 0) {
    refuse("a delay", std::to_string(std::min(options.first_delay, options.max_delay).count()) + " ns",
           "give 0 or more");
  }
  if (options.retry_if == nullptr) refuse("retry_if", "null", "leave it out, or give any_error");
}

bool backoff::again(const std::exception_ptr& error) noexcept {
  return ++failures_ < options_.attempts && !is_cancelled(error) && options_.retry_if(error);
}

std::chrono::nanoseconds backoff::next_pause() noexcept {
  const double full = std::min(pause_, static_cast<double>(options_.max_delay.count()));
  pause_ *= options_.factor;
  // splitmix64 (Steele, Lea, Flood, OOPSLA 2014): one word of state, good enough to spread people out.
  std::uint64_t z = (random_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  const double chance = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  const double pause = full * (1 - options_.jitter * chance);
  // 2^63 ns is not a number of nanoseconds any more.
  return std::chrono::nanoseconds(pause < 9.2e18 ? static_cast<std::int64_t>(pause)
                                                 : std::chrono::nanoseconds::max().count());
}

}  // namespace tutti::detail
