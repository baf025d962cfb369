// sqlite_bell: how who waits for changes of a database file hears of them, in all processes, without looking again and
// again.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace tutti::cluster::detail {

/// Counters in a file beside the database, in memory that all its users share. Who changes the database counts after
/// its commit; who finds nothing there sleeps while the count is what it was before it looked. A process that is killed
/// between the two makes nobody sleep longer than process_futex's slow_look. Thread-safe.
class sqlite_bell {
 public:
  enum class kind : std::uint8_t { tasks, results, broadcasts };

  /// Made when it is not there. Throws broker_error that names it.
  explicit sqlite_bell(const std::string& path);
  ~sqlite_bell();
  sqlite_bell(const sqlite_bell&) = delete;
  sqlite_bell& operator=(const sqlite_bell&) = delete;

  [[nodiscard]] std::uint32_t count(kind what) const noexcept;
  void ring(kind what) noexcept;
  /// Blocks until the count is no longer `seen`, or `until`, or for slow_look; may return early.
  void wait(kind what, std::uint32_t seen, std::chrono::steady_clock::time_point until) noexcept;

 private:
  struct counter {
    std::atomic<std::uint32_t> count;
    std::atomic<std::uint32_t> sleepers;  // at least: those that were killed asleep are counted for ever
  };
  counter& of(kind what) const noexcept { return counters_[static_cast<std::size_t>(what)]; }

  counter* counters_;  // zeroes at first, as the file is
};

}  // namespace tutti::cluster::detail
