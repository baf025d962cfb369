// log: one line per event, with a level, a message and named values.
#pragma once
#include <tutti/base/place.hpp>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

/// How much an event matters. The variable TUTTI_LOG names the least level that is written; `warn` without it.
enum class log_level : std::uint8_t { trace, debug, info, warn, error, off };

/// "trace", "debug", "info", "warn", "error" or "off".
[[nodiscard]] std::string_view to_string(log_level level) noexcept;

/// A named value of an event. Refers to text, does not own it: made in place, in the call of log().
class log_field {
 public:
  /// What the value is.
  enum class kind : std::uint8_t { text, integer, natural, real, boolean };

  log_field(std::string_view key, std::string_view value) noexcept : key_(key), kind_(kind::text), text_(value) {}
  log_field(std::string_view key, const char* value) noexcept : log_field(key, std::string_view(value)) {}
  log_field(std::string_view key, const std::string& value) noexcept : log_field(key, std::string_view(value)) {}
  log_field(std::string_view key, bool value) noexcept : key_(key), kind_(kind::boolean), natural_(value ? 1 : 0) {}
  template <std::signed_integral T>
  log_field(std::string_view key, T value) noexcept : key_(key), kind_(kind::integer), integer_(value) {}
  template <std::unsigned_integral T>
  log_field(std::string_view key, T value) noexcept : key_(key), kind_(kind::natural), natural_(value) {}
  template <std::floating_point T>
  log_field(std::string_view key, T value) noexcept : key_(key), kind_(kind::real), real_(static_cast<double>(value)) {}

  /// The name.
  [[nodiscard]] std::string_view key() const noexcept { return key_; }
  /// The value as text, never quoted.
  [[nodiscard]] std::string value() const;

 private:
  std::string_view key_;
  kind kind_;
  union {
    std::string_view text_;
    std::int64_t integer_;
    std::uint64_t natural_;
    double real_;
  };
};

/// One event, valid during log_sink::write only.
struct log_record {
  log_level level = log_level::info;
  std::string_view message;
  const log_field* fields = nullptr;
  std::size_t field_count = 0;
  place where;

  /// `message key=value key="two words"`
  [[nodiscard]] std::string text() const;
};

/// Receives events, from any thread, concurrently.
class log_sink {
 public:
  virtual ~log_sink() = default;
  /// What it throws is dropped. It must not change the sink. For a forked child that goes on logging here, a lock that
  /// it takes must be held at the fork (at_fork.hpp).
  virtual void write(const log_record& record) = 0;
};

/// Makes `sink` receive all events; null means standard error again. Waits until the sink before is in use no more, in
/// this process.
void set_log_sink(std::shared_ptr<log_sink> sink);

/// Changes the least level that is written. Thread-safe.
void set_log_level(log_level level) noexcept;

namespace detail {
inline constinit std::atomic<log_level> log_threshold{log_level::warn};  // log.cpp reads TUTTI_LOG before main
void write_log(log_level level, std::string_view message, std::initializer_list<log_field> fields,
               const place& where) noexcept;
}  // namespace detail

/// True when events of `level` are written: guards work needed only for the log.
[[nodiscard]] inline bool log_enabled(log_level level) noexcept {
  return level >= detail::log_threshold.load(std::memory_order_relaxed) && level != log_level::off;
}

/// Writes an event: `log(log_level::warn, "worker died", {{"pid", pid}, {"signal", 9}})`. Thread-safe, never throws.
/// Blocks while the sink writes.
inline void log(log_level level, std::string_view message, std::initializer_list<log_field> fields = {},
                place where = place::current()) noexcept {
  if (log_enabled(level)) detail::write_log(level, message, fields, where);
}

/// Collects events instead of writing them, all levels, while it lives: for tests. One at a time.
class log_capture {
 public:
  log_capture();
  ~log_capture();
  log_capture(const log_capture&) = delete;
  log_capture& operator=(const log_capture&) = delete;

  /// `level: message key=value`, in order of arrival. Thread-safe.
  [[nodiscard]] std::vector<std::string> lines() const;
  /// True when a line contains `part`. Thread-safe.
  [[nodiscard]] bool contains(std::string_view part) const;

 private:
  class collector;
  std::shared_ptr<collector> collector_;
  log_level level_before_;
};

}  // namespace tutti
