#include <apps/tutti/progress.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <ostream>

namespace tutti::app {

std::string progress_line(std::string_view label, std::uint64_t done, std::uint64_t total, double seconds,
                          std::size_t columns) {
  const double share = total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const double left = rate > 0 && total > done ? static_cast<double>(total - done) / rate : 0;
  const auto minutes = static_cast<long long>(left) / 60;
  const std::string figures = fmt::format(" {:3.0f} %  {:.0f} MB/s  {}:{:02} left", share * 100, rate / 1e6, minutes,
                                          static_cast<long long>(left) % 60);
  const std::size_t used = label.size() + 3 + figures.size();
  const std::size_t width = used + 10 < columns ? std::min<std::size_t>(30, columns - used) : 10;
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(width));
  return fmt::format("{} [{}{}]{}", label, std::string(filled, '#'), std::string(width - filled, '.'), figures);
}

progress_bar::progress_bar(std::ostream& out, bool shown, std::string label, std::uint64_t total)
    : out_(out), label_(std::move(label)), total_(total) {
  if (shown) drawer_ = std::jthread([this](const std::stop_token& stop) { draw_until(stop); });
}

progress_bar::~progress_bar() = default;

void progress_bar::draw_until(const std::stop_token& stop) {
  const auto start = std::chrono::steady_clock::now();
  std::mutex mutex;
  std::condition_variable_any tick;
  std::unique_lock lock(mutex);
  std::size_t drawn = 0;
  while (!tick.wait_for(lock, stop, std::chrono::milliseconds(100), [] { return false; }) && !stop.stop_requested()) {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    const std::string line = progress_line(label_, done_.load(std::memory_order_relaxed), total_, elapsed.count());
    out_ << '\r' << line << std::string(drawn > line.size() ? drawn - line.size() : 0, ' ') << std::flush;
    drawn = line.size();
  }
  if (drawn != 0) out_ << '\r' << std::string(drawn, ' ') << '\r' << std::flush;
}

}  // namespace tutti::app
