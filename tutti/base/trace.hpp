// trace: points in the code that a recorder may listen to; one predictable branch each when nobody does.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tutti {

/// What happened. The meaning of the two numbers `a` and `b` stands beside each kind; a *text* is the address of a
/// string that is a literal or lives as long.
enum class trace_kind : std::uint8_t {
  task_submit,   ///< a: task, b: where it is queued
  task_begin,    ///< a: task, b: its name, a text. Also when a coroutine goes on
  task_end,      ///< a: task, b: its result, which others wait for; 0: it will go on
  task_wait,     ///< a: task, a coroutine that is about to wait, b: for what, a text
  task_resume,   ///< a: task, a coroutine that is queued to go on
  publish,       ///< a: forked branch that is put on offer, b: worker
  steal,         ///< a: branch or task that is taken from somebody else, b: from which worker
  branch_begin,  ///< a: stolen branch, b: its task's name, a text
  branch_end,    ///< a: stolen branch
  join,          ///< a: result or stolen branch that was waited for, or was there already
  park,          ///< a: parker, b: pool. A worker has nothing to do
  unpark,        ///< a: parker, b: pool
  wait_begin,    ///< a: what is waited for, b: in which function, a text. The thread blocks
  wait_place,    ///< a: source file, a text, b: line. Of the wait just begun
  wait_name,     ///< a: what kind of thing is waited for, b: its name, both texts. Of the wait just begun
  wait_end,      ///< a: what was waited for, b: parker
  wake,          ///< a: parker whose sleeper is told to go on
  thread_start,  ///< a: worker, b: pool
  thread_stop,   ///< a: worker, b: pool
  span_begin,    ///< a: phase of the program's own, b: its name, a text
  span_end,      ///< a: phase
  mark,          ///< a: name, a text, b: a number of the program's own
  count,         ///< a: name, a text, b: the value from now on, a signed number
};

/// How many kinds there are.
inline constexpr std::size_t trace_kinds = static_cast<std::size_t>(trace_kind::count) + 1;

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

/// A text as a number of a trace point.
inline std::uint64_t trace_text(const char* text) noexcept {
  return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(text));
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
