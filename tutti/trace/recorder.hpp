// recorder: records what the program does, thread by thread, for a timeline file.
#pragma once
#include <tutti/trace/timeline.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>

namespace tutti {

/// How much memory a recording may take: `bytes_per_thread * max_threads`, of which only what was written to is used.
struct trace_options {
  std::size_t bytes_per_thread = std::size_t{8}
                                 << 20U;  ///< 24 bytes an event, rounded down to a power of two of events
  std::size_t max_threads = 256;  ///< then those that ended first are given up, or the events of new ones counted only
};

/// Records from start() to stop(): tasks, stolen branches, waits with their reasons, sleeping workers, and the
/// program's own phases (span.hpp). Each thread keeps its last events; older ones are overwritten and counted. One
/// recording at a time. Thread-safe; threads may go on, begin and end at any time. In a forked child nothing is
/// recorded.
class trace_recorder {
 public:
  explicit trace_recorder(const trace_options& options = {}) : options_(options) {}
  /// Stops, and gives the memory back.
  ~trace_recorder();
  trace_recorder(const trace_recorder&) = delete;
  trace_recorder& operator=(const trace_recorder&) = delete;

  /// Begins anew. Throws std::logic_error while a recording goes on, or another trace_sink is installed.
  void start();
  /// What comes from here on is not recorded. Does nothing when it was not recording.
  void stop() noexcept;
  /// True from start() to stop().
  [[nodiscard]] bool is_recording() const noexcept;

  /// What was recorded, up to now while it records. Does not disturb the threads that trace. Throws std::logic_error
  /// when there is nothing: before start(), after another recorder's start(), in a child forked since.
  [[nodiscard]] timeline collect() const;
  /// Writes that as JSON for Perfetto, chrome://tracing and `tutti trace`. Throws std::system_error that names file and
  /// reason, and what collect() throws.
  void write(const std::filesystem::path& file) const;
  void write(std::ostream& out) const;

 private:
  std::uint64_t session() const noexcept { return session_.load(std::memory_order_relaxed); }

  const trace_options options_;
  // relaxed: a number and nothing else; what belongs to it is read under the lock of the recording, which refuses old
  // numbers.
  std::atomic<std::uint64_t> session_{0};
};

}  // namespace tutti
