// signals: those that the system sends to the process, awaited.
#pragma once
#include <tutti/io/byte_stream.hpp>
#include <tutti/io/io_wait.hpp>
#include <tutti/task/task.hpp>

#include <chrono>
#include <initializer_list>
#include <memory>
#include <stop_token>

namespace tutti::io {

namespace detail {
class signal_watcher;
}

/// Signals of some numbers, for one coroutine at a time. While at least one such object for a number lives, the signal
/// does not do what it did before, which is ending the process for most; after the last one it does again. Objects of
/// several coroutines and loops may have the same numbers: all get the signal. A forked child has none: there signals
/// do what they did before.
///
/// It belongs to the loop that it was made on. Move-only.
class signals {
 public:
  /// None.
  signals() noexcept = default;
  /// From now on: `signals({SIGINT, SIGTERM})`. Throws std::invalid_argument for numbers that cannot be had: of no
  /// signal, SIGKILL, SIGSTOP, and those that code gets for what it did itself (SIGSEGV, SIGFPE, ...); std::logic_error
  /// off a loop; os_error.
  explicit signals(std::initializer_list<int> numbers);
  signals(signals&& other) noexcept = default;
  signals& operator=(signals&& other) noexcept;
  ~signals() { close(); }

  /// Awaits a signal and gives its number. Those that came since the last call, or the beginning, are given at once:
  /// each number once, however often it came, the smallest first. Throws `cancelled` when the task is asked to stop,
  /// timed_out after `limit`, `closed` when the object is destroyed meanwhile or is none; std::logic_error when another
  /// coroutine waits for it.
  [[nodiscard]] task<int> next(time_limit limit = no_limit);

  [[nodiscard]] explicit operator bool() const noexcept { return watcher_ != nullptr; }

 private:
  void close() noexcept;

  std::shared_ptr<detail::signal_watcher> watcher_;
  detail::byte_stream_ptr body_;  // an eventfd
};

/// Awaits one of the signals, then requests `source` to stop: what a server's main needs.
/// `which` ends with it: unless others have them, a second signal does what it did before, and ends a program that
/// takes too long to stop.
///
///     co_await task_group::run([&](task_group& group) -> task<> {
///       group.spawn(io::stop_on(io::signals({SIGINT, SIGTERM}), quit));
///       co_await io::serve(std::move(listener), handler, {.stop = token_of_quit});
///       group.stop();
///     });
[[nodiscard]] task<> stop_on(signals which, std::stop_source source);

}  // namespace tutti::io
