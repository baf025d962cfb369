// tasks: what tests of coroutines share: time that moves by itself, how an await ended, what is still alive.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <tests/support/watchdog.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/core.hpp>
#include <tutti/task/task.hpp>
#include <utility>

namespace tutti_test {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// A fixture. Time stands still while anything can go on, then moves to the next timer; a test that hangs is ended.
/// So `co_await sleep_for(1ms)` returns when all others wait.
class virtual_time : public testing::Test {
  watchdog dog_;

 protected:
  tutti::virtual_clock clock{tutti::virtual_clock::when_idle};
  const std::chrono::steady_clock::time_point start = clock.now();

  std::chrono::nanoseconds passed() const { return clock.now() - start; }
};

/// What was thrown, in a word: "cancelled", "timed_out", "closed", "logic_error", or the text of a runtime_error.
inline std::string kind_of(const std::exception_ptr& error) {
  if (error == nullptr) return "value";
  try {
    std::rethrow_exception(error);
  } catch (const tutti::cancelled&) {
    return "cancelled";
  } catch (const tutti::timed_out&) {
    return "timed_out";
  } catch (const tutti::closed&) {
    return "closed";
  } catch (const std::invalid_argument&) {
    return "invalid_argument";
  } catch (const std::logic_error&) {
    return "logic_error";
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "something else";
  }
}

/// How `co_await make()` ends: "value", or what it throws, in a word.
template <class Make>
tutti::task<std::string> end_of(Make make) {
  std::exception_ptr error;
  try {
    static_cast<void>(co_await make());
  } catch (...) {
    error = std::current_exception();
  }
  co_return kind_of(error);
}

/// How a future that is done ended, or will end.
template <class T>
std::string end_of_future(tutti::future<T> f) {
  try {
    static_cast<void>(f.get());
  } catch (...) {
    return kind_of(std::current_exception());
  }
  return "value";
}

/// One of those alive, as long as it lives.
class living {
 public:
  explicit living(std::atomic<int>& count) noexcept : count_(&count) { ++*count_; }
  living(const living& other) noexcept : count_(other.count_) { ++*count_; }
  living& operator=(const living&) = delete;
  ~living() { --*count_; }

 private:
  std::atomic<int>* count_;
};

// ---- coroutines of a line or two

template <class T>
tutti::task<T> give(T value) {
  co_return value;
}
inline tutti::task<> nothing() { co_return; }
/// Suspends once, then gives.
template <class T>
tutti::task<T> give_later(T value) {
  co_await tutti::yield_now();
  co_return value;
}
template <class T>
tutti::task<T> give_after(std::chrono::nanoseconds delay, T value) {
  co_await tutti::sleep_for(delay);
  co_return value;
}
inline tutti::task<> sleeper(std::chrono::nanoseconds delay) { co_await tutti::sleep_for(delay); }
/// Lets others run, often enough for them to get wherever they wait.
inline tutti::task<> some_turns() {
  for (int i = 0; i < 100; ++i) co_await tutti::yield_now();
}
/// Sleeps until it is stopped.
inline tutti::task<> sleep_for_ever() { co_await tutti::sleep_for(std::chrono::nanoseconds::max()); }
/// The same, counted among those alive.
inline tutti::task<> live_for_ever(std::atomic<int>& alive) {
  const living me(alive);
  co_await tutti::sleep_for(std::chrono::nanoseconds::max());
}
inline tutti::task<> fail(std::string text) {
  throw std::runtime_error(text);
  co_return;
}
inline tutti::task<> fail_after(std::chrono::nanoseconds delay, std::string text) {
  co_await tutti::sleep_for(delay);
  throw std::runtime_error(text);
}
/// When it is stopped, takes `cleanup` for cleaning up, then ends as if nothing had been asked.
inline tutti::task<> live_until_stopped_and(std::atomic<int>& alive, std::chrono::nanoseconds cleanup) {
  const living me(alive);
  bool stopped = false;
  try {
    co_await tutti::sleep_for(std::chrono::nanoseconds::max());
  } catch (const tutti::cancelled&) {
    stopped = true;
  }
  EXPECT_TRUE(stopped);
  co_await tutti::shield(sleeper(cleanup));
}
/// When it is stopped, throws that.
inline tutti::task<> fail_when_stopped(std::string text) {
  static_cast<void>(co_await end_of(sleep_for_ever));
  throw std::runtime_error(text);
}

}  // namespace tutti_test
