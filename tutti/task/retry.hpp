// retry: tries a task again after errors that may pass, with growing pauses.
#pragma once
#include <tutti/task/coroutine.hpp>
#include <tutti/task/sleep.hpp>

#include <cstdint>

namespace tutti {

/// How to retry. The pause after attempt n is first_delay * factor^(n-1), at most max_delay, of which the share
/// `jitter` is random, so that many who failed together do not come back together.
struct retry_options {
  int attempts = 5;                                                       ///< in all, at least 1
  std::chrono::nanoseconds first_delay = std::chrono::milliseconds(100);  ///< after the first failure
  double factor = 2;                                              ///< each pause is that much longer, at least 1
  std::chrono::nanoseconds max_delay = std::chrono::seconds(30);  ///< but never longer than this
  double jitter = 0.5;                                            ///< 0: none, 1: anything from 0 to the full pause
  /// Whether to try again after an error; never asked about `cancelled`.
  bool (*retry_if)(const std::exception_ptr& error) noexcept = is_retryable;
  std::uint64_t seed = 0;  ///< of the jitter; 0: another one each time
};

/// For retry_options::retry_if: after any error.
inline bool any_error(const std::exception_ptr&) noexcept { return true; }

namespace detail {
static_assert(std::is_trivially_destructible_v<retry_options>);

/// The pauses of one retry.
class backoff {
 public:
  /// Throws std::invalid_argument for options that make no sense.
  explicit backoff(const retry_options& options);
  /// Whether to try again after this error, the next in a row.
  bool again(const std::exception_ptr& error) noexcept;
  std::chrono::nanoseconds next_pause() noexcept;

 private:
  retry_options options_;
  int failures_ = 0;
  std::uint64_t random_;
  double pause_;  // ns
};

template <class F>
auto retry_until(F function, retry_options options) -> std::decay_t<std::invoke_result_t<F&>> {
  backoff pauses(options);
  for (;;) {
    std::exception_ptr error;
    try {
      co_return co_await function();
    } catch (...) {
      error = std::current_exception();
    }
    if (!pauses.again(error)) std::rethrow_exception(error);
    co_await sleep_for(pauses.next_pause());
  }
}

}  // namespace detail

/// Awaits `function()`, a task, again and again until it succeeds, gives an error that is not worth another attempt
/// (see retry_options), or the attempts are used up; then throws the last error. A stop ends it, also between attempts.
/// `function` is kept until the end. Throws std::invalid_argument for options that make no sense.
template <class F>
auto retry(F function, retry_options options = {}) {
  static_assert(!is_task<F>, "tutti: retry(f): f() is called for each attempt: give the function itself, not its task");
  static_assert(is_task<F> || detail::returns_task<F>, "tutti: retry(f): f() must return a task");
  if constexpr (detail::returns_task<F>) return detail::retry_until(std::move(function), options);
}

}  // namespace tutti
