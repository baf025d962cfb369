// map: a function over a range, evaluated a few chunks ahead of the reader.
#pragma once
#include <tutti/core/completion_queue.hpp>
#include <tutti/core/map_chunk.hpp>
#include <tutti/core/worker.hpp>

#include <algorithm>
#include <map>

namespace tutti {

/// The chunk size that follows the measured time per element, about 100 us a chunk.
inline constexpr std::size_t auto_chunk = 0;

/// How map divides its work.
struct map_options {
  std::size_t chunk = auto_chunk;  ///< elements per call
};

/// An element of map_unordered: the position in the input and the result.
template <class T>
struct indexed {
  std::size_t index;  ///< in the input
  T value;            ///< the result
};

namespace detail {

// How many chunks to keep under way, how long each should be.
class chunk_sizer {
 public:
  chunk_sizer(std::size_t fixed, int concurrency) noexcept
      : fixed_(fixed), in_flight_(2 * static_cast<std::size_t>(std::max(1, concurrency))) {}

  std::size_t in_flight() const noexcept { return in_flight_; }
  /// `left`: elements still to come, if known.
  std::size_t next(std::optional<std::size_t> left) const noexcept {
    if (fixed_ != auto_chunk) return fixed_;
    if (!left) return size_;
    return std::clamp<std::size_t>(*left / in_flight_, 1, size_);  // so that the end is shared evenly
  }
  void measured(std::size_t elements, std::chrono::nanoseconds took) noexcept {
    if (elements == 0) return;
    const double per_element = std::max(1.0, static_cast<double>(took.count()) / static_cast<double>(elements));
    const double wanted = static_cast<double>(target.count()) / per_element;
    // At most fourfold a step: the first elements may not be typical.
    size_ = std::clamp<std::size_t>(static_cast<std::size_t>(wanted), 1, std::min<std::size_t>(size_ * 4, 1 << 16));
  }

 private:
  static constexpr std::chrono::nanoseconds target = std::chrono::microseconds(100);
  std::size_t fixed_, in_flight_, size_ = 1;
};

// The input side behind one type, whatever the range and the executor.
template <class T>
class chunk_source {
 public:
  struct launched {
    future<chunk_result<T>> result;
    std::size_t count;  // of elements; 0: the input is at its end
  };
  virtual ~chunk_source() = default;
  /// Launches up to `size` elements.
  virtual launched launch(std::size_t size) = 0;
  /// Elements still to come, if known.
  virtual std::optional<std::size_t> left() const = 0;

  const std::shared_ptr<chunk_gate> gate = std::make_shared<chunk_gate>();
};

// `make(iterator)` gives an Item, `launch(items, gate)` a future<chunk_result<T>>. R is a reference for lvalues.
template <class T, class R, class Item, class Make, class Launch>
class range_source final : public chunk_source<T> {
 public:
  range_source(R&& range, Make make, Launch launch)
      : range_(std::forward<R>(range)), make_(std::move(make)), launch_(std::move(launch)) {
    if constexpr (std::ranges::sized_range<std::remove_reference_t<R>>) {
      left_ = static_cast<std::size_t>(std::ranges::size(range_));
    }
  }
  typename chunk_source<T>::launched launch(std::size_t size) override {
    if (!at_) at_.emplace(std::ranges::begin(range_));
    std::vector<Item> items;
    if (left_) items.reserve(std::min(size, *left_));
    for (; items.size() < size && *at_ != std::ranges::end(range_); ++*at_) items.push_back(make_(*at_));
    const std::size_t count = items.size();
    if (count == 0) return {{}, 0};
    if (left_) *left_ -= std::min(*left_, count);
    return {launch_(std::move(items), this->gate), count};
  }
  std::optional<std::size_t> left() const override { return left_; }

 private:
  R range_;
  Make make_;
  Launch launch_;
  std::optional<std::ranges::iterator_t<std::remove_reference_t<R>>> at_;
  std::optional<std::size_t> left_;
};

}  // namespace detail

/// The results of map (Ordered) or map_unordered: an input range, to be read once. Nothing runs before begin(); from
/// then on 2 x concurrency chunks are under way ahead of the reader. An element's exception is thrown when that element
/// is read
/// (`*it`), and reading may go on behind it. Dropping the range cancels what has not begun and waits for the elements
/// being computed, as they may refer to the caller's range. Keeps its executor's threads alive. Not thread-safe.
template <class T, bool Ordered>
class [[nodiscard]] map_results {
 public:
  using element = std::conditional_t<Ordered, T, indexed<T>>;

  /// For the library.
  map_results(std::unique_ptr<detail::chunk_source<T>> source, std::size_t chunk, int concurrency)
      : source_(std::move(source)), sizer_(chunk, concurrency) {}
  map_results(map_results&&) noexcept = default;
  map_results& operator=(map_results&&) = delete;
  ~map_results() {
    if (!source_) return;
    source_->gate->stop();
    for (auto& [first, chunk] : under_way_) chunk.result.cancel();
    for (auto& [first, chunk] : under_way_) {
      detail::surely([&] { chunk.result.wait(); });
      chunk.result.state()->observe();
    }
    detail::surely([&] { source_->gate->wait_empty(); });
  }

  class iterator {
   public:
    using value_type = element;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    explicit iterator(map_results& owner) : owner_(&owner) {}
    /// The current result; throws the exception of its computation.
    element& operator*() const { return owner_->current(); }
    /// Blocks until the next result is there. Behind the last one that was started it throws, once, what kept more from
    /// being started: the input's own exception, or `closed`.
    iterator& operator++() {
      owner_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return owner_->at_end_; }

   private:
    map_results* owner_ = nullptr;
  };

  /// Starts the work; to be called once. Blocks until the first result is there.
  iterator begin() {
    advance();
    return iterator(*this);
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  using launched = typename detail::chunk_source<T>::launched;

  // A chunk that failed as a whole (cancelled, worker lost) failed for each of its elements.
  static detail::chunk_result<T> take(launched& chunk) {
    try {
      return chunk.result.get();
    } catch (...) {
      detail::chunk_result<T> failed;
      for (std::size_t i = 0; i < chunk.count; ++i) failed.outcomes.push_back({std::nullopt, std::current_exception()});
      return failed;
    }
  }

  void fill() {
    while (!exhausted_ && under_way_.size() < sizer_.in_flight()) {
      const auto slot = under_way_.try_emplace(launched_).first;  // first: a chunk that runs must be in it
      try {
        slot->second = source_->launch(sizer_.next(source_->left()));
      } catch (...) {
        exhausted_ = true;
        failed_ = std::current_exception();  // thrown where the elements that are missing would be
        under_way_.erase(slot);
        return;
      }
      if (slot->second.count == 0) {
        exhausted_ = true;
        under_way_.erase(slot);
        return;
      }
      launched_ += slot->second.count;
      if constexpr (!Ordered) queue_.watch(*slot->second.result.state(), slot->first);
    }
  }

  // The chunk that is read next. Throws pool_exhausted, and then may be called again.
  auto next_chunk() {
    auto next = under_way_.begin();
    if constexpr (Ordered) {
      next->second.result.wait();
    } else if (queue_.left() == 0) {  // a chunk that could not be watched
      next->second.result.wait();
    } else {
      std::optional<std::size_t> number;
      if (this_worker != nullptr) {
        for (auto& [first, chunk] : under_way_) {
          number = queue_.try_pop();
          if (number) break;
          detail::run_part(*chunk.result.state());
        }
      }
      if (!number) number = queue_.pop(wait_how{.what = "map_unordered"});
      next = under_way_.find(*number);
    }
    return next;
  }

  // When it throws, there is no current element, and it may be called again.
  void advance() {
    if (at_ < chunk_.outcomes.size()) ++at_;
    if constexpr (!Ordered) shown_.reset();
    while (at_ >= chunk_.outcomes.size()) {
      fill();
      if (under_way_.empty()) {
        if (failed_ != nullptr) std::rethrow_exception(std::exchange(failed_, nullptr));
        at_end_ = true;
        return;
      }
      const auto next = next_chunk();
      first_ = next->first;
      chunk_ = take(next->second);
      under_way_.erase(next);
      at_ = 0;
      if (chunk_.took.count() != 0) sizer_.measured(chunk_.outcomes.size(), chunk_.took);
    }
  }

  element& current() {
    if (at_ >= chunk_.outcomes.size())
      throw std::logic_error("map: no current element: advancing failed, or this is the end");
    auto& outcome = chunk_.outcomes[at_];
    if (outcome.error != nullptr) std::rethrow_exception(outcome.error);
    if constexpr (Ordered) {
      return *outcome.value;
    } else {
      if (!shown_) shown_.emplace(indexed<T>{first_ + at_, std::move(*outcome.value)});
      return *shown_;
    }
  }

  std::unique_ptr<detail::chunk_source<T>> source_;
  detail::chunk_sizer sizer_;
  std::map<std::size_t, launched> under_way_;  // by the position of the first element
  completion_queue queue_;
  std::size_t launched_ = 0;
  detail::chunk_result<T> chunk_;
  std::size_t first_ = 0, at_ = 0;
  std::optional<indexed<T>> shown_;
  std::exception_ptr failed_;  // the input, or starting a chunk
  bool exhausted_ = false, at_end_ = false;
};

namespace detail {

template <class T, bool Ordered, class R, class Item, class Make, class Launch>
map_results<T, Ordered> make_map(R&& range, const map_options& options, int concurrency, Make make, Launch launch) {
  using source = range_source<T, R, Item, Make, Launch>;
  return map_results<T, Ordered>(std::make_unique<source>(std::forward<R>(range), std::move(make), std::move(launch)),
                                 options.chunk, concurrency);
}

}  // namespace detail
}  // namespace tutti
