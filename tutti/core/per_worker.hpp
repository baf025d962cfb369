// per_worker: one copy of a value per thread that uses it, combined at the end: no sharing while the work is done.
#pragma once
#include <tutti/core/cpu.hpp>

#include <atomic>
#include <bit>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace tutti {

namespace detail {
/// A small number that no other thread alive has; numbers of ended threads are used again.
std::uint32_t thread_index();
}  // namespace detail

/// A T for each thread that calls `local()`, made on its first call. Thread-safe, but for combine, for_each and clear,
/// which need the work to be over. Which tasks share a copy depends on the schedule: use it for what is combined by an
/// operation that does not care (sums, tables, buffers).
template <class T>
class per_worker {
 public:
  /// Copies start as T().
  per_worker()
    requires std::default_initializable<T>
      : per_worker([] { return T(); }) {}
  /// Copies start as copies of `initial`.
  explicit per_worker(T initial)
    requires std::copy_constructible<T>
      : per_worker([initial = std::move(initial)] { return initial; }) {}
  /// Copies start as `make()`, called on the thread that will use them.
  template <class Make>
    requires std::is_invocable_r_v<T, Make&>
  explicit per_worker(Make make) : make_(std::move(make)) {}
  per_worker(const per_worker&) = delete;
  per_worker& operator=(const per_worker&) = delete;
  ~per_worker() {
    for (auto& block : blocks_) delete[] block.load(std::memory_order_relaxed);
  }

  /// This thread's copy. The reference stays good until clear; what another task does on this thread while this one
  /// waits is done to the same copy.
  T& local() {
    slot& mine = slot_of(detail::thread_index());
    if (!mine.value) mine.value.emplace(make_());
    return *mine.value;
  }

  /// Calls `f(T&)` for each copy there is.
  template <class F>
  void for_each(F&& f) {
    for (std::size_t k = 0; k < max_blocks; ++k) {
      slot* const block = blocks_[k].load(std::memory_order_acquire);
      for (std::size_t i = 0; block != nullptr && i < (std::size_t{1} << k); ++i) {
        if (block[i].value) f(*block[i].value);
      }
    }
  }
  /// Folds the copies with `op(T, T)`, from the first; `make()` when there is none.
  template <class Op>
  T combine(Op op) {
    std::optional<T> sum;
    for_each([&](T& value) {
      if (sum) {
        sum.emplace(op(std::move(*sum), value));
      } else {
        sum.emplace(value);
      }
    });
    return sum ? std::move(*sum) : make_();
  }
  /// Destroys all copies.
  void clear() {
    for (std::size_t k = 0; k < max_blocks; ++k) {
      slot* const block = blocks_[k].load(std::memory_order_acquire);
      for (std::size_t i = 0; block != nullptr && i < (std::size_t{1} << k); ++i) block[i].value.reset();
    }
  }

 private:
  struct alignas(cpu::cache_line) slot {
    std::optional<T> value;
  };
  // Block k holds the 2^k slots of threads 2^k - 1 to 2^(k+1) - 2: slots never move.
  static constexpr std::size_t max_blocks = 24;

  slot& slot_of(std::uint32_t thread) {
    const std::uint32_t place = thread + 1;
    const auto k = static_cast<std::size_t>(std::bit_width(place)) - 1;
    slot* block = blocks_[k].load(std::memory_order_acquire);
    if (block == nullptr) {
      auto made = std::make_unique<slot[]>(std::size_t{1} << k);
      // release: whoever finds the block finds its slots empty, not raw.
      if (blocks_[k].compare_exchange_strong(block, made.get(), std::memory_order_acq_rel)) block = made.release();
    }
    return block[place - (std::uint32_t{1} << k)];
  }

  std::function<T()> make_;
  std::atomic<slot*> blocks_[max_blocks]{};
};

}  // namespace tutti
