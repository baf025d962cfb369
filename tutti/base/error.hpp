// error: every exception that tutti throws, all derived from tutti::error.
#pragma once
#include <cstddef>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace tutti {

/// Root of all our exceptions; never thrown itself. what() names the thing, the value and the way out.
struct error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The work was cancelled before it had a result. Never counts as unhandled.
struct cancelled : error {
  using error::error;
};

/// A time limit passed first.
struct timed_out : error {
  using error::error;
};

/// The channel, pool or connection was closed.
struct closed : error {
  using error::error;
};

/// The channel was poisoned: closed at once, and what lay in it dropped.
struct poisoned : closed {
  using closed::closed;
};

/// Waiting would never end; what() lists who waits for whom.
struct deadlock : error {
  using error::error;
};

/// A blocking call was made where blocking is not allowed.
struct would_block : error {
  using error::error;
};

/// A lock was unlocked by somebody who does not hold it.
struct not_owner : error {
  using error::error;
};

/// A promise was destroyed without a value.
struct broken_promise : error {
  using error::error;
};

/// Somebody gave up in a phase of a barrier, which therefore never ends; what() says why.
struct broken_barrier : error {
  using error::error;
};

/// Somebody asked for a function that this program has not registered.
struct not_registered : error {
  using error::error;
};

/// One identity stands for two functions; what() names both.
struct ambiguous_function : error {
  using error::error;
};

/// A pool may not start any more threads.
struct pool_exhausted : error {
  using error::error;
};

/// A message broker refused or could not be reached.
struct broker_error : error {
  using error::error;
};

/// An executor was named by a text that is malformed or unknown.
struct bad_spec : error {
  using error::error;
};

/// A value could not be turned into bytes or JSON (nested too deep, not a number, ...).
struct encode_error : error {
  using error::error;
};

/// A process died while it held what several share; what() says what, and what became of it.
struct owner_lost : error {
  using error::error;
};

/// The operating system refused: no memory, no descriptors, no such program, ...
class os_error : public error {
 public:
  /// `what`: the whole text; `code`: the errno.
  os_error(const std::string& what, int code) : error(what), code_(code) {}
  /// The same with the system's own words for `code` behind `tried`, which names what was tried.
  [[nodiscard]] static os_error of(const std::string& tried, int code);

  /// The errno.
  [[nodiscard]] int code() const noexcept { return code_; }

 private:
  int code_;
};

/// Derive from it what is worth another try: tasks with `retries` left run again after it.
struct retryable : error {
  using error::error;
};

/// The worker that ran the task died. Tasks with `retries` left run again after it.
class worker_lost : public error {
 public:
  /// The worker is gone for a reason that what() tells.
  explicit worker_lost(const std::string& what) : error(what) {}
  /// The worker ended with `exit_code`, or was killed by `signal`; give one of them.
  worker_lost(const std::string& what, std::optional<int> exit_code, std::optional<int> signal)
      : error(what), exit_code_(exit_code), signal_(signal) {}

  /// How the worker exited, when it did.
  [[nodiscard]] std::optional<int> exit_code() const noexcept { return exit_code_; }
  /// The signal that killed the worker, when one did.
  [[nodiscard]] std::optional<int> signal() const noexcept { return signal_; }

 private:
  std::optional<int> exit_code_;
  std::optional<int> signal_;
};

/// An exception of a type that cannot cross the boundary; what() is the original's.
class remote_error : public error {
 public:
  /// `type`: the original's type, readable; `stack`: where it came from, as far as known, may be empty.
  remote_error(std::string type, const std::string& what, std::string stack = {}, bool retry = false)
      : error(what), type_(std::move(type)), stack_(std::move(stack)), retry_(retry) {}

  /// The type of the original, readable, for example `my::parse_failure`.
  [[nodiscard]] const std::string& type() const noexcept { return type_; }
  /// Where it came from, as far as known.
  [[nodiscard]] const std::string& stack() const noexcept { return stack_; }
  /// True when the original was derived from `retryable`.
  [[nodiscard]] bool retry() const noexcept { return retry_; }

 private:
  std::string type_;
  std::string stack_;
  bool retry_ = false;
};

/// Bytes or text that are not what they should be.
class decode_error : public error {
 public:
  /// `offset`: bytes from the start of the input to where it went wrong.
  explicit decode_error(const std::string& what, std::size_t offset = 0) : error(what), offset_(offset) {}

  /// Bytes from the start of the input to where it went wrong.
  [[nodiscard]] std::size_t offset() const noexcept { return offset_; }

 private:
  std::size_t offset_ = 0;
};

/// True for what `retries` try again: worker_lost, retryable and what derives from it, here or in another process.
[[nodiscard]] bool is_retryable(const std::exception_ptr& failure) noexcept;
/// True for `cancelled`.
[[nodiscard]] bool is_cancelled(const std::exception_ptr& failure) noexcept;

}  // namespace tutti
