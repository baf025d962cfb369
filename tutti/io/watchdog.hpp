// watchdog: names what blocks a loop's thread, and shows where.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace tutti::io {

/// A call that has held its loop's thread for longer than the limit.
struct loop_stall {
  std::string task;               ///< its name
  std::chrono::nanoseconds held;  ///< for at least so long now
  long thread;                    ///< the system's number of the thread
  bool sleeps;                    ///< it waits in the system; otherwise it computes, or waits for a processor
  std::string stack;  ///< the functions that it is in, the innermost first, a line each: "#2 my::parse() +0x41 in
                      ///< /usr/bin/tool"; "" when it could not be asked
  [[nodiscard]] std::string text() const;  ///< all of it, for people, on several lines
};

/// What a watchdog does when nobody else is to be told.
enum class watchdog_action : std::uint8_t {
  warn,   ///< a warning in the log
  abort,  ///< a report on standard error, then std::abort(): for tests
};

/// How to watch. Trivially destructible (see stop_ref).
struct watchdog_options {
  std::chrono::nanoseconds limit = std::chrono::milliseconds(100);  ///< real time; longer without an await is a stall
  watchdog_action action = watchdog_action::warn;
};

/// While it lives, a thread of its own looks at all io::loops of the process, four times per limit, and reports each
/// call that holds one's thread for longer than the limit, once: a blocking call, or a long computation between two
/// awaits. All others of that loop wait meanwhile: use what can be awaited, or `co_await pool.submit(f)`.
///
/// The stack is taken by the thread itself, in the handler of a real-time signal that nobody uses, installed while a
/// watchdog lives: a system call that is not begun again after signals, such as poll, ends with EINTR then. What is
/// watched pays nothing else. The variable TUTTI_IO_WATCHDOG=warn or abort has the process watched from its first loop
/// on; off, or nothing, does not.
class watchdog {
 public:
  /// Reports to `report`, on the watchdog's thread, which must not destroy this; as `options.action` says when it is
  /// empty. Throws std::invalid_argument for a limit that is not positive, std::system_error without a thread.
  explicit watchdog(watchdog_options options = {}, std::function<void(const loop_stall&)> report = {});
  /// Returns when no report is being made.
  ~watchdog();
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

 private:
  class watcher;
  std::unique_ptr<watcher> watcher_;
};

namespace detail {
/// As TUTTI_IO_WATCHDOG says. Throws std::invalid_argument for what it does not know.
void watch_loops_if_asked();
}  // namespace detail

}  // namespace tutti::io
