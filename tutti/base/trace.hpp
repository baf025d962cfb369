// trace: points in the code that a recorder may listen to; one predictable branch each when nobody does.
#pragma once
#include <atomic>
#include <cstdint>
#include <string_view>

namespace tutti {

/// What happened. The meaning of the two numbers `a` and `b` stands beside each kind.
enum class trace_kind : std::uint8_t {
  task_submit,   ///< a: task, b: pool
  task_begin,    ///< a: task, b: pool
  task_end,      ///< a: task, b: pool
  fork,          ///< a: record, b: worker
  steal,         ///< a: task or record, b: worker stolen from
  publish,       ///< a: record, b: worker
  park,          ///< a: worker, b: pool
  unpark,        ///< a: worker, b: pool
  wait_begin,    ///< a: what is waited for, b: waiter
  wait_end,      ///< a: what was waited for, b: waiter
  thread_start,  ///< a: worker, b: pool
  thread_stop,   ///< a: worker, b: pool
  lock_acquire,  ///< a: lock, b: owner
  lock_release,  ///< a: lock, b: owner
  send,          ///< a: channel, b: bytes or elements
  receive,       ///< a: channel, b: bytes or elements
  timer,         ///< a: timer, b: 0
  user,          ///< a, b: the user's
};

/// The kind in words, for example "task_begin".
[[nodiscard]] std::string_view to_string(trace_kind kind) noexcept;

/// Receives trace points from any thread, at any moment.
class trace_sink {
 public:
  virtual ~trace_sink() = default;
  /// Called inside hot code, concurrently: must not block, throw, or pass a trace point itself.
  virtual void record(trace_kind kind, std::uint64_t a, std::uint64_t b) noexcept = 0;
};

namespace detail {
inline constinit std::atomic<trace_sink*> active_trace_sink{nullptr};
}  // namespace detail

/// Makes `sink` receive all trace points from now on; null turns them off. Returns the one before. A thread may still
/// be inside the old sink when this returns, so a sink stays alive until the threads that trace have ended.
inline trace_sink* set_trace_sink(trace_sink* sink) noexcept {
  // release: who sees the pointer sees the sink behind it; acquire: the caller may look into the one that it gets back.
  return detail::active_trace_sink.exchange(sink, std::memory_order_acq_rel);
}

/// True while a sink listens: guards work needed only for tracing.
[[nodiscard]] inline bool tracing() noexcept {
  return detail::active_trace_sink.load(std::memory_order_relaxed) != nullptr;
}

/// Tells the sink, if there is one. Thread-safe, never blocks.
inline void trace_point(trace_kind kind, std::uint64_t a = 0, std::uint64_t b = 0) noexcept {
  if (trace_sink* sink = detail::active_trace_sink.load(std::memory_order_acquire); sink != nullptr) [[unlikely]] {
    sink->record(kind, a, b);
  }
}

/// The same with addresses as the numbers.
inline void trace_point(trace_kind kind, const void* a, const void* b = nullptr) noexcept {
  trace_point(kind, static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(a)),
              static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(b)));
}

}  // namespace tutti
