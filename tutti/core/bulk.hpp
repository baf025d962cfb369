// bulk: a function over a whole range, handed over at once, with one future for all results.
#pragma once
#include <tutti/core/map_chunk.hpp>

#include <algorithm>
#include <atomic>

namespace tutti::detail {

// void results are not collected.
template <class Result>
using bulk_result = std::conditional_t<std::is_void_v<Result>, void, std::vector<value_or_monostate<Result>>>;

// Completes when all its chunks have; holds one reference to itself until then.
template <class Result>
class bulk_state final : public future_state<bulk_result<Result>> {
 public:
  using T = value_or_monostate<Result>;

  explicit bulk_state(std::uint64_t home) : future_state<bulk_result<Result>>(2, home) {}

  // All chunks at once; `this` may be gone afterwards.
  void begin(std::vector<future<chunk_result<T>>> chunks) {
    chunks_ = std::move(chunks);
    left_.store(chunks_.size() + 1, std::memory_order_relaxed);
    for (std::size_t i = 0, n = chunks_.size(); i < n; ++i) chunks_[i].state()->when_ready(*new piece(*this));
    arrived();
  }

 private:
  struct piece final : ready_callback {
    explicit piece(bulk_state& whole) : to(whole) {}
    void on_ready(future_state_base&) noexcept override {
      to.arrived();
      delete this;
    }
    bulk_state& to;
  };
  void arrived() noexcept {
    // acq_rel: the last one to arrive sees what all wrote.
    if (left_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    try {
      gather();
    } catch (...) {
      this->settle_error(std::current_exception());
    }
    chunks_.clear();
    this->release();
  }
  void gather() {
    std::vector<T> all;
    for (auto& chunk : chunks_) {
      for (auto& one : chunk.get().outcomes) {
        if (one.error != nullptr) std::rethrow_exception(one.error);
        if constexpr (!std::is_void_v<Result>) all.push_back(std::move(*one.value));
      }
    }
    if constexpr (std::is_void_v<Result>) {
      this->settle_value();
    } else {
      this->settle_value(std::move(all));
    }
  }
  std::vector<future<chunk_result<T>>> chunks_;
  std::atomic<std::size_t> left_{0};
};

// `make(iterator)` gives an Item, `launch(items)` a future for the chunk.
template <class Result, class Item, class R, class Make, class Launch>
future<bulk_result<Result>> run_bulk(std::uint64_t home, int concurrency, std::size_t chunk, R&& range, Make make, Launch launch) {
  std::vector<Item> items;
  if constexpr (std::ranges::sized_range<std::remove_reference_t<R>>) items.reserve(static_cast<std::size_t>(std::ranges::size(range)));
  for (auto it = std::ranges::begin(range); it != std::ranges::end(range); ++it) items.push_back(make(it));
  // Sixteen chunks a worker even out chunks of unlike length.
  if (chunk == 0) chunk = std::max<std::size_t>(1, items.size() / (16 * static_cast<std::size_t>(std::max(1, concurrency))));
  using T = value_or_monostate<Result>;
  std::vector<future<chunk_result<T>>> chunks;
  chunks.reserve(items.size() / chunk + 1);
  auto* state = new bulk_state<Result>(home);
  future<bulk_result<Result>> result{state_ref<future_state<bulk_result<Result>>>(state)};
  try {
    for (auto at = items.begin(); at != items.end();) {
      const auto n = std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(chunk), items.end() - at);
      chunks.push_back(launch(std::vector<Item>(std::make_move_iterator(at), std::make_move_iterator(at + n))));
      at += n;
    }
  } catch (...) {
    for (auto& one : chunks) one.cancel();
    state->begin(std::move(chunks));
    state->observe();
    throw;
  }
  state->begin(std::move(chunks));
  return result;
}

}  // namespace tutti::detail
