// span: the program's own phases, marks and numbers in a recording.
#pragma once
#include <tutti/base/trace.hpp>
#include <tutti/core/call.hpp>

#include <string_view>

namespace tutti {

/// A name in a recording: a literal, for nothing, or any text, which is kept for ever: names are few.
class trace_name {
 public:
  /// A literal.
  consteval trace_name(const char* literal) noexcept : text_(literal) {}  // NOLINT(google-explicit-constructor)
  /// A text made at run time: `trace_name(text)`. While nobody records, nothing is kept. Throws std::bad_alloc.
  explicit trace_name(std::string_view text) : text_(tracing() ? intern(text) : "") {}

  const char* text() const noexcept { return text_; }

 private:
  const char* text_;
};

/// A phase of the program, from here to the end of the scope, on this thread. In a coroutine it ends where the
/// coroutine waits. One predictable branch at each end while nobody records.
class trace_span {
 public:
  explicit trace_span(trace_name name) noexcept { trace_point(trace_kind::span_begin, this, name.text()); }
  ~trace_span() { trace_point(trace_kind::span_end, this); }
  trace_span(const trace_span&) = delete;
  trace_span& operator=(const trace_span&) = delete;
};

/// Something happened here and now. `number` is shown with it.
inline void trace_mark(trace_name name, std::uint64_t number = 0) noexcept {
  trace_point(trace_kind::mark, trace_text(name.text()), number);
}

/// A quantity of the program has this value from now on: one curve per name.
inline void trace_count(trace_name name, std::int64_t value) noexcept {
  trace_point(trace_kind::count, trace_text(name.text()), static_cast<std::uint64_t>(value));
}

}  // namespace tutti
