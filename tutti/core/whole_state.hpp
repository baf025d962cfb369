// whole_state: a future made from others, its parts, and done when they all are; behind when_all and submit_bulk.
#pragma once
#include <tutti/core/future.hpp>

#include <atomic>
#include <tuple>
#include <vector>

namespace tutti::detail {

// The executor of all parts, or 0 when they come from several.
struct common_home {
  void add(const future_state_base& part) noexcept {
    home = first || home == part.home() ? part.home() : 0;
    first = false;
  }
  std::uint64_t home = 0;
  bool first = true;
};

template <class... T, class F>
void for_each_part(const std::tuple<future<T>...>& parts, F f) {
  std::apply([&](const auto&... part) { (f(*part.state()), ...); }, parts);
}
template <class Parts, class F>
void for_each_part(const Parts& parts, F f) {
  for (const auto& part : parts) f(*part.state());
}
template <class... T>
void release_parts(std::tuple<future<T>...>& parts) noexcept {
  std::apply([](auto&... part) { (in_turn(part.take_state(), nullptr, 0), ...); }, parts);
}
template <class T>
void release_parts(std::vector<future<T>>& parts) noexcept {
  for (auto& part : parts) in_turn(part.take_state(), nullptr, 0);
}
template <class Parts>
std::uint64_t home_of(const Parts& parts) {
  common_home common;
  for_each_part(parts, [&](const future_state_base& part) { common.add(part); });
  return common.home;
}
template <class... T>
std::size_t count_parts(const std::tuple<future<T>...>&) noexcept {
  return sizeof...(T);
}
template <class Parts>
std::size_t count_parts(const Parts& parts) noexcept {
  return parts.size();
}

// Claimed at birth: cancelling asks the parts, and it is done when they are. The parts are kept until the end, so that
// who waits or cancels may look at them at any time. Holds one reference to itself until it is done.
template <class Result, class Parts>
class whole_state : public future_state<Result> {
 public:
  ~whole_state() override { release_parts(parts_); }
  /// Once all parts are there; `this` may be gone afterwards.
  void begin() noexcept {
    left_.store(count_parts(parts_) + 1, std::memory_order_relaxed);
    auto at = pieces_.begin();
    for_each_part(parts_, [&](future_state_base& part) { part.when_ready(*at++); });
    arrived();
  }

 protected:
  /// `most`: parts there will be at most.
  whole_state(std::uint64_t home, std::size_t most, Parts&& parts)
      : future_state<Result>(2, home), parts_(std::move(parts)), pieces_(most, piece(*this)) {
    this->claim();
  }
  /// Settles with what the parts, which are all ready, amount to; what it throws becomes the error.
  virtual void gather() = 0;
  /// All parts are ready: calls finish, now or later.
  virtual void all_arrived() noexcept { finish(); }
  void finish() noexcept {
    try {
      gather();
    } catch (...) {
      this->settle_error(std::current_exception());
    }
    this->release();
  }
  void cancel_sources() noexcept override {
    for_each_part(parts_, [](future_state_base& part) { cancel_in_turn(another_ref(part)); });
  }

  Parts parts_;

 private:
  struct piece final : ready_callback {
    explicit piece(whole_state& whole) noexcept : to(&whole) {}
    void on_ready(future_state_base& part) noexcept override {
      part.observe();
      to->arrived();
    }
    whole_state* to;
  };
  void arrived() noexcept {
    // acq_rel: the last one to arrive sees what all wrote.
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) all_arrived();
  }
  bool run_here() noexcept override {
    for_each_part(parts_, [](future_state_base& part) { help_part(part); });
    return true;
  }
  void expedite(int priority) noexcept override {
    for_each_part(parts_, [&](future_state_base& part) { expedite_in_turn(another_ref(part), priority); });
  }

  std::vector<piece> pieces_;
  std::atomic<std::size_t> left_{0};
};

}  // namespace tutti::detail
