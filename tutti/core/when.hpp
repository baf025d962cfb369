// when: several futures as one: wait, as_completed, when_all, when_any.
#pragma once
#include <tutti/core/completion_queue.hpp>
#include <tutti/core/future.hpp>

#include <atomic>
#include <iterator>
#include <optional>
#include <ranges>
#include <tuple>
#include <vector>

namespace tutti {

/// When `wait` returns: all done, one done, or one failed (or all done).
enum class wait_for : std::uint8_t { all, first, first_error };

/// Positions of the futures that were done, and were not, when `wait` returned; each in input order.
struct wait_status {
  std::vector<std::size_t> done;
  std::vector<std::size_t> pending;
};

namespace detail {

template <class Futures>
using future_value = typename std::ranges::range_value_t<Futures>::value_type;

template <class Futures>
concept future_range = std::ranges::random_access_range<Futures> && std::ranges::sized_range<Futures> &&
                       is_future<std::ranges::range_value_t<Futures>>;

}  // namespace detail

/// Blocks until `mode` is met or the time limit is over; leaves results and errors in the futures. On a pool's worker, and
/// without a limit, awaited tasks that have not begun are run here. Empty futures are std::logic_error.
template <detail::future_range Futures>
wait_status wait(Futures&& futures, wait_for mode = wait_for::all, std::optional<std::chrono::nanoseconds> timeout = {},
                 place here = place::current()) {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  if (timeout) deadline = detail::time_after(*timeout);
  const wait_how how{.deadline = deadline ? &*deadline : nullptr, .stop = {}, .here = here, .what = "wait"};
  const auto n = static_cast<std::size_t>(std::ranges::size(futures));
  const auto at = [&](std::size_t i) -> auto& { return futures[static_cast<std::ranges::range_difference_t<Futures>>(i)]; };
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
    completion_queue queue;
    for (std::size_t i = 0; i < n; ++i) queue.watch(*at(i).state(), i);
    while (queue.left() != 0) {
      const auto next = queue.pop(how);
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
      queue_.watch(*at(i).state(), i);
    }
    advance();
    return iterator(*this);
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  value_type& at(std::size_t i) { return futures_[static_cast<std::ranges::range_difference_t<Futures>>(i)]; }
  void advance() {
    current_.reset();
    if (queue_.left() != 0) current_ = queue_.pop(wait_how{.deadline = nullptr, .stop = {}, .here = here_, .what = "as_completed"});
  }

  Futures futures_;
  place here_;
  completion_queue queue_;
  std::optional<std::size_t> current_;
};
template <class Futures>
as_completed(Futures&&) -> as_completed<Futures>;

namespace detail {

// Settles when all parts have: with what `Gather` makes of them, or with the first error in their order.
template <class Result, class Parts, class Gather>
class all_state final : public future_state<Result> {
 public:
  all_state(Parts&& parts, Gather gather) : future_state<Result>(2), parts_(std::move(parts)), gather_(gather) {}

  template <class ForEach>
  void begin(std::size_t count, ForEach for_each) {
    left_.store(count + 1, std::memory_order_relaxed);
    for_each(parts_, [this](future_state_base& part) { part.when_ready(*new piece(*this)); });
    arrived();
  }

 private:
  struct piece final : ready_callback {
    explicit piece(all_state& whole) : to(whole) {}
    void on_ready(future_state_base&) noexcept override {
      to.arrived();
      delete this;
    }
    all_state& to;
  };
  void arrived() noexcept {
    // acq_rel: the last one to arrive sees what all wrote.
    if (left_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    try {
      gather_(*this, parts_);
    } catch (...) {
      this->settle_error(std::current_exception());
    }
    this->release();
  }

  Parts parts_;
  Gather gather_;
  std::atomic<std::size_t> left_{0};
};

}  // namespace detail

/// One future for all: their results in input order, or the first error in input order, once all are done.
template <detail::future_range Futures>
  requires std::is_rvalue_reference_v<Futures&&>
auto when_all(Futures&& futures) {
  using T = detail::future_value<Futures>;
  using result = std::conditional_t<std::is_void_v<T>, void, std::vector<typename future_state<T>::value_type>>;
  auto gather = [](future_state<result>& to, Futures& parts) {
    if constexpr (std::is_void_v<T>) {
      for (auto& part : parts) part.get();
      to.settle_value();
    } else {
      result all;
      for (auto& part : parts) all.push_back(part.get());
      to.settle_value(std::move(all));
    }
  };
  for (auto& part : futures) {
    if (!part.valid()) detail::throw_no_state("when_all");
  }
  auto* state = new detail::all_state<result, std::remove_cvref_t<Futures>, decltype(gather)>(std::move(futures), gather);
  future<result> whole{state_ref<future_state<result>>(state)};
  state->begin(static_cast<std::size_t>(std::ranges::size(futures)), [](auto& parts, auto watch) {
    for (auto& part : parts) watch(*part.state());
  });
  return whole;
}

/// The same for futures of different types: a tuple, with std::monostate for void.
template <class... T>
  requires(sizeof...(T) >= 1)
auto when_all(future<T>... futures) {
  using result = std::tuple<typename future_state<T>::value_type...>;
  using parts = std::tuple<future<T>...>;
  auto gather = [](future_state<result>& to, parts& all) {
    std::apply(
        [&](auto&... part) {
          const auto value = [](auto& f) -> typename std::remove_reference_t<decltype(*f.state())>::value_type {
            if constexpr (std::is_void_v<typename std::remove_reference_t<decltype(f)>::value_type>) {
              f.get();
              return {};
            } else {
              return f.get();
            }
          };
          to.settle_value(result{value(part)...});
        },
        all);
  };
  if (!(futures.valid() && ...)) detail::throw_no_state("when_all");
  auto* state = new detail::all_state<result, parts, decltype(gather)>(parts(std::move(futures)...), gather);
  future<result> whole{state_ref<future_state<result>>(state)};
  state->begin(sizeof...(T), [](auto& all, auto watch) { std::apply([&](auto&... part) { (watch(*part.state()), ...); }, all); });
  return whole;
}

/// Which future of when_any was the first, and its result.
template <class T>
struct first_done {
  std::size_t index;
  typename future_state<T>::value_type value;
};

namespace detail {

template <class T>
class any_state final : public future_state<first_done<T>> {
 public:
  explicit any_state(std::vector<future<T>>&& parts)
      : future_state<first_done<T>>(static_cast<std::uint32_t>(1 + parts.size())), parts_(std::move(parts)) {}
  void begin() {
    this->retain();  // the last callback may come before the loop ends
    for (std::size_t i = 0; i < parts_.size(); ++i) parts_[i].state()->when_ready(*new piece(*this, i));
    started_.store(true, std::memory_order_seq_cst);
    if (this->is_ready()) cancel_others();
    this->release();
  }

 private:
  struct piece final : ready_callback {
    piece(any_state& whole, std::size_t i) : to(whole), index(i) {}
    void on_ready(future_state_base& part) noexcept override {
      to.arrived(index, static_cast<future_state<T>&>(part));
      delete this;
    }
    any_state& to;
    std::size_t index;
  };
  void arrived(std::size_t index, future_state<T>& part) noexcept {
    bool first = false;
    if (part.error() != nullptr) {
      first = this->settle_error(part.error());
    } else if (!this->is_ready()) {
      first = this->settle_value(first_done<T>{index, std::move(part.value())});
    }
    if (first && started_.load(std::memory_order_seq_cst)) cancel_others();
    this->release();
  }
  void cancel_others() noexcept {
    for (auto& part : parts_) part.cancel();
  }

  std::vector<future<T>> parts_;
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
