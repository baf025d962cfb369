// progress: one line on a terminal that says how far a long run is; nothing anywhere else.
#pragma once
#include <atomic>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <thread>

namespace tutti::app {

/// The line for `done` of `total` bytes (0: unknown) after `seconds`: bar, share, rate and time left; at most `columns`
/// wide.
std::string progress_line(std::string_view label, std::uint64_t done, std::uint64_t total, double seconds,
                          std::size_t columns = 79);

/// Redraws the line ten times a second until destroyed, then wipes it; idle when `shown` is false.
class progress_bar {
 public:
  /// `total`: bytes to do. `out` must outlive the bar and not be written to meanwhile.
  progress_bar(std::ostream& out, bool shown, std::string label, std::uint64_t total);
  ~progress_bar();
  progress_bar(const progress_bar&) = delete;
  progress_bar& operator=(const progress_bar&) = delete;

  std::atomic<std::uint64_t>& done() noexcept { return done_; }  ///< bytes done; for any thread to add to

 private:
  void draw_until(const std::stop_token& stop);

  std::ostream& out_;
  std::string label_;
  std::uint64_t total_;
  std::atomic<std::uint64_t> done_ = 0;
  std::jthread drawer_;  // last: it uses the others
};

}  // namespace tutti::app
