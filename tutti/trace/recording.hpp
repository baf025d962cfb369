// recording: the sink behind all recorders: who writes into which ring, and what becomes of rings whose thread has
// ended.
//
// Lifetime. set_trace_sink says that a thread may still be inside a sink that was taken away: this one lives as long as
// the process. A ring is freed by its own thread, or when that has ended; others are given up by raising the session
// number, which their threads notice at their next event.
#pragma once
#include <tutti/base/trace.hpp>
#include <tutti/trace/recorder.hpp>
#include <tutti/trace/ring.hpp>
#include <tutti/trace/silent_workers.hpp>
#include <tutti/trace/ticks.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace tutti::detail {

class recording final : public trace_sink {
 public:
  static recording& instance() noexcept;

  void record(trace_kind kind, std::uint64_t a, std::uint64_t b) noexcept override;

  /// Returns the number of the recording, which the following want back.
  std::uint64_t start(const trace_options& options);
  /// The recording that goes on does so to the program's end, and was asked for from outside: whoever wants another is
  /// told so.
  void is_of_program() noexcept;
  void stop(std::uint64_t session) noexcept;
  bool is_on(std::uint64_t session) noexcept;
  /// Throws std::logic_error when that recording is not there any more.
  timeline collect(std::uint64_t session);
  /// Gives the memory of that recording back.
  void drop(std::uint64_t session) noexcept;

  /// In a forked child: all other threads are the parent's, and so is the recording.
  void leave_to_parent() noexcept;

 private:
  // What a thread has written, and what is known about it. Written by its thread under the lock; `session` also read by
  // its thread without.
  struct log;
  struct owner;

  [[gnu::noinline, gnu::cold]] void record_first(trace_kind kind, std::uint64_t a, std::uint64_t b) noexcept;
  std::uint64_t begin_session(const trace_options& options);
  log* enter(bool from_start = false) noexcept;
  void refuse(std::uint64_t session) noexcept;
  std::optional<log*> find_place() noexcept;
  log* make_place();
  void free(log& which) noexcept;
  void free_ended() noexcept;
  void leave(log& ended) noexcept;
  std::vector<seen_worker> silent_of(std::vector<seen_worker> now) const;
  void forget_workers() noexcept;

  static constinit thread_local log* mine;
  static constinit thread_local std::uint64_t refused;  // the recording that has no room for this thread
  static constinit thread_local bool thread_ends;       // its thread_locals have been destroyed

  std::atomic<bool> by_cpu_{false};  // has_cpu_ticks(), which is found out when it is needed
  // relaxed: who sees an old number writes where it has always written, and is not read.
  std::atomic<std::uint64_t> session_{0};
  std::atomic<std::uint64_t> lost_{0};  // events of threads without a log

  std::mutex mutex_;  // below nothing: no other lock is taken under it, and no trace point passed
  trace_options options_;
  log* logs_ = nullptr;
  std::uint64_t endings_ = 0;
  bool on_ = false;
  bool of_program_ = false;
  // Of this recording. Pointers to workers are only compared.
  std::vector<const worker*> there_at_start_;
  std::vector<const worker*> refused_workers_;  // they found no room, and are not silent
  std::vector<seen_worker> silent_;             // once it was stopped
  std::int64_t stopper_ = 0;                    // kernel's number of the thread that stopped it
  tick_pair begun_, ended_;
};

}  // namespace tutti::detail
