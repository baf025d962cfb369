// wait_counter: how many wait at this moment, in tutti's lists: each can be found and woken there; and limits.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <tests/support/gates.hpp>
#include <thread>
#include <tutti/base/clock.hpp>
#include <tutti/core/wait_graph.hpp>
#include <utility>

namespace tutti_test {

/// Counts the waits of threads and coroutines that have begun since it was made. Unlike thread_record's list it does so
/// when a wait can no longer miss a wake-up. One at a time, and made before, and destroyed after, who waits.
class wait_counter final : public tutti::wait_observer {
 public:
  wait_counter() : before_(tutti::wait_graph::observe(this)) {}
  ~wait_counter() { tutti::wait_graph::observe(before_); }

  int now() const noexcept { return waiting_; }
  /// Returns once so many wait.
  void until_waiting(int n) const {
    until([&] { return waiting_ == n; });
  }

  /// Returns once so many have begun to wait, those included that wait no more.
  void until_begun(int n) const {
    until([&] { return begun_ == n; });
  }

  void begin_wait(const wait&) override {
    ++waiting_;
    ++begun_;
  }
  void end_wait(const wait&) noexcept override { --waiting_; }
  void born(const tutti::wait_target&, std::size_t) noexcept override {}
  void gone(const void*) noexcept override {}
  void holds(const tutti::wait_party&, const tutti::wait_target&, const tutti::place&, bool) noexcept override {}
  void releases(const void*, const void*) noexcept override {}
  void ended(const void*) noexcept override {}

 private:
  std::atomic<int> waiting_{0}, begun_{0};
  tutti::wait_observer* const before_;
};

/// What `wait`, which has a limit of one hour, gives in a thread whose hour passes on a virtual clock while it waits.
template <class Wait>
auto after_an_hour(Wait wait) {
  const wait_counter waits;
  tutti::virtual_clock clock;
  std::optional<decltype(wait())> result;
  std::jthread thread([&] { result.emplace(wait()); });
  waits.until_waiting(1);
  clock.advance(std::chrono::minutes(59));
  std::this_thread::yield();
  EXPECT_EQ(waits.now(), 1);
  clock.advance(std::chrono::minutes(1));
  thread.join();
  return std::move(*result);
}

}  // namespace tutti_test
