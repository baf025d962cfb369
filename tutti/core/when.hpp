// when: several futures as one: wait, as_completed, when_all, when_any.
#pragma once
#include <tutti/core/completion_queue.hpp>
#include <tutti/core/future.hpp>
#include <tutti/core/whole_state.hpp>
#include <tutti/core/worker.hpp>

#include <atomic>
#include <iterator>
#include <optional>
#include <ranges>
#include <tuple>
#include <vector>

namespace tutti {

/// When `wait` returns: all done, one done, or one failed (or all done).
enum class wait_for : std::uint8_t {
  all,          ///< all are done
  first,        ///< one is done
  first_error,  ///< one has failed, or all are done
};

/// Positions of the futures that were done, and were not, when `wait` returned; each in input order.
struct wait_status {
  std::vector<std::size_t> done;     ///< these were done
  std::vector<std::size_t> pending;  ///< these were not
};

namespace detail {

template <class Futures>
using future_value = typename std::ranges::range_value_t<Futures>::value_type;

template <class Futures>
concept future_range = std::ranges::random_access_range<Futures> && std::ranges::sized_range<Futures> &&
                       is_future<std::ranges::range_value_t<Futures>>;

// Some states, numbered from 0, and which of them are done, in order of completion.
class watched_states {
 public:
  watched_states() = default;
  watched_states(const watched_states&) = delete;
  watched_states& operator=(const watched_states&) = delete;
  ~watched_states() {
    for (auto& [state, watching] : watched_) completion_queue::unwatch(*state, watching);
  }
  void add(future_state_base& state) {
    watched_.emplace_back(another_ref(state), nullptr);
    watched_.back().second = queue_.watch(state, watched_.size() - 1);
  }
  /// How many were not popped yet.
  std::size_t left() const noexcept { return queue_.left(); }
  /// The next one that is done; nothing when `how`'s limit came first. Without a time limit, a worker first runs, one
  /// after the other, what has not begun.
  std::optional<std::size_t> pop(const wait_how& how) {
    for (; this_worker != nullptr && how.deadline == nullptr && not_tried_ < watched_.size(); ++not_tried_) {
      if (const auto number = queue_.try_pop()) return number;
      run_part(*watched_[not_tried_].first);
    }
    return queue_.pop(how);
  }

 private:
  completion_queue queue_;
  std::vector<std::pair<state_ref<future_state_base>, ready_callback*>> watched_;
  std::size_t not_tried_ = 0;
};

}  // namespace detail

/// Blocks until `mode` is met or the time limit is over; leaves results and errors in the futures. On a pool's worker,
/// and without a limit, awaited tasks that have not begun are run here. Empty futures are std::logic_error.
template <detail::future_range Futures>
wait_status wait(Futures&& futures, wait_for mode = wait_for::all, std::optional<std::chrono::nanoseconds> timeout = {},
                 place here = place::current()) {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  if (timeout) deadline = detail::time_after(*timeout);
  const wait_how how{.deadline = deadline ? &*deadline : nullptr, .stop = {}, .here = here, .what = "wait"};
  const auto n = static_cast<std::size_t>(std::ranges::size(futures));
  const auto at = [&](std::size_t i) -> auto& {
    return std::ranges::begin(futures)[static_cast<std::ranges::range_difference_t<Futures>>(i)];
  };
  for (std::size_t i = 0; i < n; ++i) {
    if (!at(i).valid()) detail::throw_no_state("wait");
  }
  if (mode == wait_for::all) {
    for (std::size_t i = 0; i < n; ++i) {
      if (deadline) {
        at(i).state()->wait(how);
      } else {
        at(i).wait(here);
      }
    }
  } else {
    detail::watched_states watched;
    for (std::size_t i = 0; i < n; ++i) watched.add(*at(i).state());
    while (watched.left() != 0) {
      const auto next = watched.pop(how);
      if (!next || mode == wait_for::first || at(*next).state()->error() != nullptr) break;
    }
  }
  wait_status status;
  for (std::size_t i = 0; i < n; ++i) (at(i).done() ? status.done : status.pending).push_back(i);
  return status;
}

/// The futures of a range as they complete: an input range of references to them, done, to be read once.
/// `for (auto& f : as_completed(futures)) use(f.get());` An rvalue range is owned.
template <detail::future_range Futures>
class [[nodiscard]] as_completed {
 public:
  using value_type = std::ranges::range_value_t<Futures>;

  /// Nothing is awaited before begin().
  explicit as_completed(Futures&& futures, place here = place::current())
      : futures_(std::forward<Futures>(futures)), here_(here) {}
  as_completed(const as_completed&) = delete;
  as_completed& operator=(const as_completed&) = delete;

  class iterator {
   public:
    using value_type = as_completed::value_type;
    using difference_type = std::ptrdiff_t;
    iterator() = default;
    explicit iterator(as_completed& owner) : owner_(&owner) {}
    /// A future that is done.
    value_type& operator*() const { return owner_->at(*owner_->current_); }
    /// Its position in the range.
    std::size_t index() const { return *owner_->current_; }
    /// Blocks until the next one is done.
    iterator& operator++() {
      owner_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !owner_->current_; }

   private:
    as_completed* owner_ = nullptr;
  };

  /// Blocks until the first one is done. To be called once.
  iterator begin() {
    const auto n = static_cast<std::size_t>(std::ranges::size(futures_));
    for (std::size_t i = 0; i < n; ++i) {
      if (!at(i).valid()) detail::throw_no_state("as_completed");
      watched_.add(*at(i).state());
    }
    advance();
    return iterator(*this);
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  value_type& at(std::size_t i) {
    return std::ranges::begin(futures_)[static_cast<std::ranges::range_difference_t<Futures>>(i)];
  }
  void advance() {
    current_.reset();
    if (watched_.left() == 0) return;
    current_ = watched_.pop(wait_how{.deadline = nullptr, .stop = {}, .here = here_, .what = "as_completed"});
  }

  Futures futures_;
  place here_;
  detail::watched_states watched_;
  std::optional<std::size_t> current_;
};
template <class Futures>
as_completed(Futures&&) -> as_completed<Futures>;

namespace detail {

template <class Result, class Parts, class Gather>
class all_state final : public whole_state<Result, Parts> {
 public:
  all_state(Parts&& parts, Gather gather)
      : whole_state<Result, Parts>(home_of(parts), count_parts(parts), std::move(parts)), gather_(gather) {}

 private:
  void gather() override { gather_(*this, this->parts_); }
  Gather gather_;
};

template <class Result, class Parts, class Gather>
future<Result> make_all(Parts parts, Gather gather) {
  auto* state = new all_state<Result, Parts, Gather>(std::move(parts), gather);
  future<Result> whole{state_ref<future_state<Result>>(state)};
  state->begin();
  return whole;
}

}  // namespace detail

/// One future for all: their results in input order, or the first error in input order, once all are done.
template <detail::future_range Futures>
  requires std::is_rvalue_reference_v<Futures&&>
auto when_all(Futures&& futures) {
  using T = detail::future_value<Futures>;
  using result = std::conditional_t<std::is_void_v<T>, void, std::vector<typename future_state<T>::value_type>>;
  for (auto& part : futures) {
    if (!part.valid()) detail::throw_no_state("when_all");
  }
  std::vector<future<T>> all_parts;
  if constexpr (std::is_same_v<Futures, std::vector<future<T>>>) {
    all_parts = std::forward<Futures>(futures);
  } else {
    for (auto& part : futures) all_parts.push_back(std::move(part));
  }
  return detail::make_all<result>(std::move(all_parts),
                                  [](future_state<result>& to, const std::vector<future<T>>& parts) {
                                    if constexpr (std::is_void_v<T>) {
                                      for (const auto& part : parts) detail::take_value(*part.state());
                                      to.settle_value();
                                    } else {
                                      result all;
                                      all.reserve(parts.size());
                                      for (const auto& part : parts) all.push_back(detail::take_value(*part.state()));
                                      to.settle_value(std::move(all));
                                    }
                                  });
}

/// The same for futures of different types: a tuple, with std::monostate for void.
template <class... T>
  requires(sizeof...(T) >= 1)
auto when_all(future<T>... futures) {
  using result = std::tuple<typename future_state<T>::value_type...>;
  using parts = std::tuple<future<T>...>;
  if (!(futures.valid() && ...)) detail::throw_no_state("when_all");
  return detail::make_all<result>(parts(std::move(futures)...), [](future_state<result>& to, const parts& all) {
    std::apply([&](const auto&... part) { to.settle_value(result{std::move(part.state()->value())...}); }, all);
  });
}

/// Which future of when_any was the first, and its result.
template <class T>
struct first_done {
  std::size_t index;                           ///< its position
  typename future_state<T>::value_type value;  ///< its result; std::monostate for void
};

namespace detail {

// Claimed at birth: cancelling asks the parts, the first to be done settles it.
template <class T>
class any_state final : public future_state<first_done<T>> {
 public:
  explicit any_state(std::vector<future<T>>&& parts)
      : future_state<first_done<T>>(static_cast<std::uint32_t>(1 + parts.size()), home_of(parts)),
        parts_(std::move(parts)) {
    this->claim();
    pieces_.reserve(parts_.size());
    for (std::size_t i = 0; i < parts_.size(); ++i) pieces_.emplace_back(*this, i);
  }
  ~any_state() override { release_parts(parts_); }
  void begin() {
    this->retain();  // the last callback may come before the loop ends
    for (std::size_t i = 0; i < parts_.size(); ++i) parts_[i].state()->when_ready(pieces_[i]);
    started_.store(true, std::memory_order_seq_cst);
    if (this->is_ready()) cancel_sources();
    this->release();
  }

 private:
  struct piece final : ready_callback {
    piece(any_state& whole, std::size_t i) : to(&whole), index(i) {}
    void on_ready(future_state_base& part) noexcept override {
      to->arrived(index, static_cast<future_state<T>&>(part));
    }
    any_state* to;
    std::size_t index;
  };
  void arrived(std::size_t index, future_state<T>& part) noexcept {
    part.observe();
    bool first = false;
    if (part.error() != nullptr) {
      first = this->settle_error(part.error());
    } else if (!this->is_ready()) {
      first = this->settle_value(index, std::move(part.value()));  // moved where a throw is its error
    }
    if (first && started_.load(std::memory_order_seq_cst)) cancel_sources();
    this->release();
  }
  bool run_here() noexcept override {
    for (std::size_t i = 0; i < parts_.size() && !this->is_ready(); ++i) run_part(*parts_[i].state());
    return true;
  }
  void expedite(int priority) noexcept override {
    for_each_part(parts_, [&](future_state_base& part) { expedite_in_turn(another_ref(part), priority); });
  }
  void cancel_sources() noexcept override {
    for_each_part(parts_, [](future_state_base& part) { cancel_in_turn(another_ref(part)); });
  }

  std::vector<future<T>> parts_;
  std::vector<piece> pieces_;
  std::atomic<bool> started_{false};
};

}  // namespace detail

/// The first to be done, with its result or its error; the others are cancelled. Throws std::invalid_argument for an
/// empty vector: nothing would ever be first.
template <class T>
future<first_done<T>> when_any(std::vector<future<T>> futures) {
  if (futures.empty()) throw std::invalid_argument("when_any: no futures: nothing would ever be first");
  for (auto& part : futures) {
    if (!part.valid()) detail::throw_no_state("when_any");
  }
  auto* state = new detail::any_state<T>(std::move(futures));
  future<first_done<T>> result{state_ref<future_state<first_done<T>>>(state)};
  state->begin();
  return result;
}

}  // namespace tutti
