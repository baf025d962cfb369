// bulk: a function over a whole range, handed over at once, with one future for all results.
#pragma once
#include <tutti/core/map_chunk.hpp>
#include <tutti/core/whole_state.hpp>

#include <algorithm>
#include <atomic>

namespace tutti::detail {

// void results are not collected.
template <class Result>
using bulk_result = std::conditional_t<std::is_void_v<Result>, void, std::vector<value_or_monostate<Result>>>;

// Its parts are the chunks. They may refer to the caller's range, so it is done when nobody is inside any more.
template <class Result>
class bulk_state final
    : public whole_state<bulk_result<Result>, std::vector<future<chunk_result<value_or_monostate<Result>>>>>,
      private chunk_gate::listener {
 public:
  using T = value_or_monostate<Result>;
  using chunks = std::vector<future<chunk_result<T>>>;
  using base = whole_state<bulk_result<Result>, chunks>;

  bulk_state(std::uint64_t home, std::size_t elements, std::size_t most)
      : base(home, most, chunks()), elements_(elements) {
    this->parts_.reserve(most);
  }

  // For the chunks to come.
  const std::shared_ptr<chunk_gate>& gate() const noexcept { return gate_; }
  void add(future<chunk_result<T>> chunk) noexcept { this->parts_.push_back(std::move(chunk)); }
  // Instead of begin: there will be no more chunks, and nobody to read the result. Returns when none runs any more.
  void give_up() noexcept {
    cancel_sources();
    for (auto& chunk : this->parts_) {
      surely([&] { chunk.wait(); });
      chunk.state()->observe();
    }
    surely([&] { gate_->wait_empty(); });
    this->parts_.clear();
    this->observe();
    this->begin();
  }

 private:
  void all_arrived() noexcept override {
    gate_->stop();            // whoever comes now comes too late
    const auto gate = gate_;  // on_empty, on another thread, may be the end of this object before when_empty returns
    gate->when_empty(*this);
  }
  void on_empty() noexcept override { this->finish(); }
  void gather() override {
    std::vector<T> all;
    if constexpr (!std::is_void_v<Result>) all.reserve(elements_);
    std::size_t computed = 0;
    for (auto& chunk : this->parts_) {
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
  void cancel_sources() noexcept override {
    gate_->stop();
    base::cancel_sources();
  }

  const std::size_t elements_;
  const std::shared_ptr<chunk_gate> gate_ = std::make_shared<chunk_gate>();
};

// `make(iterator)` gives an Item, `launch(items, gate)` a future for the chunk. The elements of `range` live until
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
          launch(std::vector<Item>(std::make_move_iterator(at), std::make_move_iterator(at + n)), state->gate()));
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
