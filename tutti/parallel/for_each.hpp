// for_each: a loop over the elements of any range, also of one that grows while it runs.
#pragma once
#include <tutti/core/small_mutex.hpp>
#include <tutti/parallel/team.hpp>

#include <atomic>
#include <functional>
#include <mutex>
#include <ranges>
#include <vector>

namespace tutti {

/// Takes further elements while a parallel_for_each runs; its body's second parameter. Thread-safe.
template <class T>
class feeder {
 public:
  feeder(const feeder&) = delete;
  feeder& operator=(const feeder&) = delete;

  /// `body` will be called for `element` too, before parallel_for_each returns (unless it fails or is stopped).
  virtual void add(T element) = 0;

 protected:
  feeder() = default;
  ~feeder() = default;
};

namespace detail {

template <class Body, class T>
concept feeding_body = std::invocable<Body&, T&, feeder<T>&> || std::invocable<Body&, T&&, feeder<T>&>;
// Elements come as they are in the range; those of a single-pass one are ours by then.
template <class Body, class R, class T = std::ranges::range_value_t<R>>
constexpr bool takes_elements() {
  if constexpr (!std::ranges::forward_range<R>) {
    return feeding_body<Body, T> || std::invocable<Body&, T&> || std::invocable<Body&, T&&>;
  } else if constexpr (feeding_body<Body, T>) {
    return std::invocable<Body&, std::ranges::range_reference_t<R>, feeder<T>&>;
  } else {
    return std::invocable<Body&, std::ranges::range_reference_t<R>>;
  }
}

template <class T>
struct kept {  // a vector of bools has no elements to refer to
  T element;
};

/// What was added meanwhile, if the body adds.
template <class T, bool Feeds>
class added_elements {
 protected:
  bool any_added() const noexcept { return false; }

  small_mutex lock_;
  std::atomic<bool> more_{false};
  team_room room_;
};
template <class T>
class added_elements<T, true> : public feeder<T> {
 public:
  void add(T element) override {
    {
      const std::lock_guard lock(lock_);
      added_.push_back({std::move(element)});
      more_.store(true, std::memory_order_relaxed);
    }
    room_.more();
  }

 protected:
  bool any_added() const noexcept { return !added_.empty(); }

  small_mutex lock_;
  std::vector<kept<T>> added_;     // under lock_
  std::atomic<bool> more_{false};  // changed under lock_
  team_room room_;
};

/// The elements that nobody has taken yet: what was added, then the rest of the range.
template <class It, class End, class Body>
class element_source final : public added_elements<std::iter_value_t<It>, feeding_body<Body, std::iter_value_t<It>>> {
 public:
  using value = std::iter_value_t<It>;

  element_source(It first, End last, Body& body, loop_control& control)
      : next_(std::move(first)), last_(std::move(last)), body_(body), control_(control) {
    note_more();
  }

  using member = block_sizer;
  member new_member() const noexcept { return block_sizer(control_.grain()); }
  member guest_of(const member& host) const noexcept { return host; }  // with what that has measured

  team_room& room() noexcept { return room_; }
  // relaxed: hints.
  bool may_step() const noexcept { return more_.load(std::memory_order_relaxed); }
  bool may_get_more() const noexcept { return may_step() || underway_.load(std::memory_order_relaxed) > 0; }
  bool can_step() {
    const std::lock_guard lock(lock_);
    return more_.load(std::memory_order_relaxed);
  }

  bool step(const worker* w, block_sizer& sizer) {
    if (!may_step() && !can_step()) return false;
    return control_.run([&] {
      piece mine;
      if constexpr (!in_place) mine.reserve(std::min<std::size_t>(sizer.size(), most_reserved));
      std::unique_lock lock(lock_);
      if (!more_.load(std::memory_order_relaxed) || control_.stopped()) return false;
      if constexpr (feeds) {
        underway_.store(underway_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        if (any_added()) {
          run_added(mine, std::move(lock), w, sizer);
        } else {
          run_next(mine, std::move(lock), sizer);
        }
        lock = std::unique_lock(lock_);
        underway_.store(underway_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
      } else {
        run_next(mine, std::move(lock), sizer);
      }
      return true;
    });
  }

 private:
  static constexpr bool feeds = feeding_body<Body, value>;
  using base = added_elements<value, feeds>;
  using base::any_added;
  using base::lock_;
  using base::more_;
  using base::room_;

  static constexpr bool in_place = std::forward_iterator<It> && !feeds;
  static constexpr std::size_t most_reserved = 64;
  using piece = std::vector<kept<value>>;

  // The last added come first: a tree is visited in depth, which keeps few elements waiting. Of few elements not many
  // at once: each may be long, whatever the last ones were.
  void run_added(piece& mine, std::unique_lock<small_mutex> lock, const worker* w, block_sizer& sizer) {
    const std::size_t workers = w == nullptr ? 1 : static_cast<std::size_t>(w->pool->concurrency());
    auto& added = base::added_;
    const std::size_t count = std::min(sizer.size(), std::max<std::size_t>(1, added.size() / (2 * workers)));
    for (std::size_t i = 0; i < count; ++i) {
      mine.push_back(std::move(added.back()));
      added.pop_back();
    }
    note_more();
    lock.unlock();
    if (may_step()) room_.more();
    sizer.run(count, [&] {
      for (auto& k : mine) give(k.element);
    });
  }

  void run_next(piece& mine, std::unique_lock<small_mutex> lock, block_sizer& sizer) {
    const std::size_t most = sizer.size();
    std::size_t count = 0;
    if constexpr (std::forward_iterator<It>) {
      It at = next_;
      for (; count < most && next_ != last_; ++count) ++next_;
      note_more();
      lock.unlock();
      sizer.run(count, [&] {
        for (std::size_t i = 0; i < count; ++i, ++at) call(*at);
      });
    } else {
      for (; count < most && next_ != last_; ++count, ++next_) mine.push_back({std::ranges::iter_move(next_)});
      note_more();
      lock.unlock();
      sizer.run(count, [&] {
        for (auto& k : mine) give(k.element);
      });
    }
  }

  template <class Element>
  void call(Element&& element) {
    if constexpr (feeds) {
      std::invoke(body_, std::forward<Element>(element), static_cast<feeder<value>&>(*this));
    } else {
      std::invoke(body_, std::forward<Element>(element));
    }
  }
  // As it is if the body takes that, else to be moved from.
  void give(value& element) {
    if constexpr (std::invocable<Body&, value&> || std::invocable<Body&, value&, feeder<value>&>) {
      call(element);
    } else {
      call(std::move(element));
    }
  }
  void note_more() { more_.store(any_added() || next_ != last_, std::memory_order_relaxed); }

  It next_;  // under lock_, as the next two
  End last_;
  std::atomic<std::size_t> underway_{0};
  Body& body_;
  loop_control& control_;
};

template <class R, class Body>
void run_for_each(worker* w, R& range, Body& body, const loop_options& options) {
  using value = std::ranges::range_value_t<R>;
  using element = std::conditional_t<std::ranges::forward_range<R>, std::ranges::range_reference_t<R>, value&>;
  static_assert(takes_elements<Body, R>(),
                "tutti: the body of parallel_for_each takes an element of the range, or an element and a "
                "feeder<its value type>&");
  static_assert(!returns_a_task<Body, element>(),
                "tutti: the body of parallel_for_each returns a coroutine task, which the loop would only create: use "
                "for_each_async, or sync_wait for it in the body");
  loop_control control("parallel_for_each", options);
  if constexpr (std::ranges::random_access_range<R> && std::ranges::sized_range<R> && !feeding_body<Body, value>) {
    const auto first = std::ranges::begin(range);
    using step = std::ranges::range_difference_t<R>;
    auto block = [&](std::ptrdiff_t i, std::ptrdiff_t last) {
      for (; i < last; ++i) std::invoke(body, first[static_cast<step>(i)]);
    };
    for_loop(w, std::ptrdiff_t{0}, position_count(std::ranges::size(range)), block, block_sizer(control.grain()),
             control);
  } else {
    element_source source(std::ranges::begin(range), std::ranges::end(range), body, control);
    work_together(w, source, control);
  }
  control.finish();
}

}  // namespace detail

/// Calls `body(element)` for each element of `range`, each once, at once where workers are free; `body(element, feed)`
/// may `feed.add(another)` meanwhile. Any input range will do: of one without random access the iterator is moved on
/// under a lock. Elements of a single-pass range are moved out of it; these and what was added come as `T&`, or as
/// `T&&` if the body takes only that; the last added first. Elements must not share memory as the bits of a
/// std::vector<bool> do. Otherwise as parallel_for: exceptions, stop requests, pools, nesting.
template <std::ranges::input_range R, class Body>
void parallel_for_each(R&& range, Body&& body, loop_options options = {}) {
  detail::as_worker([&](worker* w) { detail::run_for_each(w, range, body, options); });
}

/// The same on a pool; see parallel_for.
template <std::ranges::input_range R, class Body>
void parallel_for_each(local_executor& pool, R&& range, Body&& body, loop_options options = {}) {
  detail::as_worker(pool, [&](worker* w) { detail::run_for_each(w, range, body, options); });
}

}  // namespace tutti
