#include <tutti/cluster/inside/worker/rate_limits.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

namespace tutti::cluster {

std::optional<std::chrono::nanoseconds> parse_rate(std::string_view rate) {
  const auto refuse = [&]() -> std::optional<std::chrono::nanoseconds> {
    throw std::invalid_argument("rate limit \"" + std::string(rate) +
                                "\": give a number of tasks per s, m or h, as \"10/s\" or \"100/m\", or \"\" for none");
  };
  if (rate.empty()) return {};
  const std::size_t slash = rate.find('/');
  const std::string_view number = rate.substr(0, slash);
  double tasks = 0;
  const auto [end, wrong] = std::from_chars(number.data(), number.data() + number.size(), tasks);
  if (wrong != std::errc() || end != number.data() + number.size() || !std::isfinite(tasks) || tasks < 0)
    return refuse();
  double seconds = 1;
  if (slash != std::string_view::npos) {
    const std::string_view unit = rate.substr(slash + 1);
    if (unit == "s") {
      seconds = 1;
    } else if (unit == "m") {
      seconds = 60;
    } else if (unit == "h") {
      seconds = 3600;
    } else {
      return refuse();
    }
  }
  if (tasks == 0) return {};
  const double apart = std::min(seconds / tasks * 1e9, 1e18);  // 30 years is never
  return std::chrono::nanoseconds(static_cast<std::int64_t>(apart));
}

void rate_limits::set(const std::string& task, std::string_view rate) {
  const auto apart = parse_rate(rate);
  const std::lock_guard lock(mutex_);
  bucket& of = buckets_[task];
  of.apart = apart;
  of.free = {};
}

rate_limits::turn rate_limits::take(const std::string& task, const std::string& rate, time_point now,
                                    std::chrono::nanoseconds most_ahead) {
  const std::lock_guard lock(mutex_);
  auto found = buckets_.find(task);
  if (found == buckets_.end()) {
    if (rate.empty()) return {now, true};
    found = buckets_.emplace(task, bucket{parse_rate(rate), {}}).first;
  }
  bucket& of = found->second;
  if (!of.apart) return {now, true};
  const time_point begin = std::max(now, of.free);
  const bool is_taken = begin - now <= most_ahead;
  if (is_taken) of.free = begin + *of.apart;
  return {begin, is_taken};
}

}  // namespace tutti::cluster
