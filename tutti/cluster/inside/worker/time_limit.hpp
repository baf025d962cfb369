// time_limit: calls a function when a time is over.
#pragma once
#include <tutti/core/timers.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <thread>
#include <utility>

namespace tutti::cluster {

/// Calls `tell` when the time is over, unless its own end comes first, which waits for its return. On a thread of its
/// own, as it runs foreign code, which must not keep the timers waiting; on theirs when there is no other. `tell` must
/// not throw. Throws as timer_entry::set.
class time_limit final : timer_entry {
 public:
  /// `limit`, from now; nothing: there is none.
  time_limit(std::optional<std::chrono::nanoseconds> limit, std::function<void()> tell) : tell_(std::move(tell)) {
    if (limit) set(tutti::detail::time_after(*limit));
  }
  ~time_limit() {
    cancel_and_wait();
    if (thread_.joinable()) thread_.join();
  }
  time_limit(const time_limit&) = delete;
  time_limit& operator=(const time_limit&) = delete;

 private:
  void due() noexcept override {
    try {
      thread_ = std::thread(std::cref(tell_));
    } catch (const std::exception&) {
      tell_();
    }
  }
  const std::function<void()> tell_;
  std::thread thread_;  // made in due()
};

}  // namespace tutti::cluster
