// bulk: a function over a whole range, handed over at once, with one future for all results.
#pragma once
#include <tutti/core/map_chunk.hpp>

#include <algorithm>
#include <atomic>

namespace tutti::detail {

// void results are not collected.
template <class Result>
using bulk_result = std::conditional_t<std::is_void_v<Result>, void, std::vector<value_or_monostate<Result>>>;

// Completes when all its chunks have; holds one reference to itself until then. Claimed at birth: cancelling asks the
// chunks, and it is done when they have stopped, as they may refer to the caller's range. The chunks are kept until the
// end, so that who waits or cancels may look at them at any time.
template <class Result>
class bulk_state final : public future_state<bulk_result<Result>> {
 public:
  using T = value_or_monostate<Result>;

  bulk_state(std::uint64_t home, std::size_t elements, std::size_t chunks)
      : future_state<bulk_result<Result>>(2, home), elements_(elements) {
    chunks_.reserve(chunks);
    pieces_.reserve(chunks);
    this->claim();
  }

  // A chunk to come shares this: true once the rest need not be computed.
  const std::shared_ptr<std::atomic<bool>>& stopped() const noexcept { return stopped_; }
  void add(future<chunk_result<T>> chunk) noexcept { chunks_.push_back(std::move(chunk)); }
  // After the last chunk; `this` may be gone afterwards.
  void begin() noexcept {
    left_.store(chunks_.size() + 1, std::memory_order_relaxed);
    for (auto& chunk : chunks_) chunk.state()->when_ready(pieces_.emplace_back(*this));
    arrived();
  }
  // Instead of begin: there will be no more chunks, and nobody to read the result. Returns when none runs any more.
  void give_up() noexcept {
    cancel_sources();
    for (auto& chunk : chunks_) {
      wait_surely(*chunk.state());
      chunk.state()->observe();
    }
    chunks_.clear();
    this->observe();
    begin();
  }

 private:
  struct piece final : ready_callback {
    explicit piece(bulk_state& whole) : to(&whole) {}
    void on_ready(future_state_base& part) noexcept override {
      part.observe();
      to->arrived();
    }
    bulk_state* to;
  };
  void arrived() noexcept {
    // acq_rel: the last one to arrive sees what all wrote.
    if (left_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    try {
      gather();
    } catch (...) {
      this->settle_error(std::current_exception());
    }
    this->release();
  }
  void gather() {
    std::vector<T> all;
    if constexpr (!std::is_void_v<Result>) all.reserve(elements_);
    std::size_t computed = 0;
    for (auto& chunk : chunks_) {
      auto part = take_value(*chunk.state());
      computed += part.outcomes.size();
      for (auto& one : part.outcomes) {
        if (one.error != nullptr) std::rethrow_exception(one.error);
        if constexpr (!std::is_void_v<Result>) all.push_back(std::move(*one.value));
      }
    }
    if (computed < elements_) throw cancelled("submit_bulk was cancelled");
    if constexpr (std::is_void_v<Result>) {
      this->settle_value();
    } else {
      this->settle_value(std::move(all));
    }
  }
  bool run_here() noexcept override {
    for (auto& chunk : chunks_) help_part(*chunk.state());
    return true;
  }
  void expedite(int priority) noexcept override {
    for (auto& chunk : chunks_) expedite_in_turn(another_ref(*chunk.state()), priority);
  }
  void cancel_sources() noexcept override {
    stopped_->store(true, std::memory_order_relaxed);
    for (auto& chunk : chunks_) cancel_in_turn(another_ref(*chunk.state()));
  }

  const std::size_t elements_;
  const std::shared_ptr<std::atomic<bool>> stopped_ = std::make_shared<std::atomic<bool>>(false);
  std::vector<future<chunk_result<T>>> chunks_;
  std::vector<piece> pieces_;
  std::atomic<std::size_t> left_{0};
};

// `make(iterator)` gives an Item, `launch(items, stopped)` a future for the chunk. The elements of `range` live until
// the chunks are done, or the items do not refer to them.
template <class Result, class Item, class R, class Make, class Launch>
future<bulk_result<Result>> run_bulk(std::uint64_t home, int concurrency, std::size_t chunk, R&& range, Make make,
                                     Launch launch) {
  std::vector<Item> items;
  if constexpr (std::ranges::sized_range<std::remove_reference_t<R>>)
    items.reserve(static_cast<std::size_t>(std::ranges::size(range)));
  for (auto it = std::ranges::begin(range); it != std::ranges::end(range); ++it) items.push_back(make(it));
  // Sixteen chunks a worker even out chunks of unlike length.
  if (chunk == 0)
    chunk = std::max<std::size_t>(1, items.size() / (16 * static_cast<std::size_t>(std::max(1, concurrency))));
  chunk = std::min(chunk, std::max<std::size_t>(1, items.size()));
  auto* state = new bulk_state<Result>(home, items.size(), (items.size() + chunk - 1) / chunk);
  future<bulk_result<Result>> result{state_ref<future_state<bulk_result<Result>>>(state)};
  try {
    for (auto at = items.begin(); at != items.end();) {
      const auto n = std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(chunk), items.end() - at);
      state->add(
          launch(std::vector<Item>(std::make_move_iterator(at), std::make_move_iterator(at + n)), state->stopped()));
      at += n;
    }
  } catch (...) {
    state->give_up();
    throw;
  }
  state->begin();
  return result;
}

}  // namespace tutti::detail
