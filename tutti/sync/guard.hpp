// guard: several locks at once, always in the same order, so that no two guards wait for each other.
#pragma once
#include <tutti/base/place.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <tuple>

namespace tutti {

namespace detail {
/// The positions 0..n-1 in the order of the addresses. Throws deadlock when two are the same.
void sort_locks(const void* const* addresses, std::size_t* order, std::size_t n, const char* what, const place& here);
}  // namespace detail

/// Locks all that it is given, exclusively, in the order of their addresses, and unlocks them in reverse when it is
/// destroyed: `guard g(a, b, c);`. Takes mutex, recursive_mutex, shared_mutex, std::mutex and whatever else has lock()
/// and unlock(), also mixed. Belongs to the task or thread that made it.
template <class... Locks>
class [[nodiscard]] guard {
  static_assert(sizeof...(Locks) != 0, "tutti: a guard needs something to lock: guard g(a, b);");

 public:
  /// Blocks until all are locked. Throws deadlock when one is given twice, and what lock() throws; then none stays
  /// locked.
  explicit guard(Locks&... locks, place here = place::current()) : locks_(locks...) {
    const void* const addresses[] = {static_cast<const void*>(std::addressof(locks))...};
    detail::sort_locks(addresses, order_.data(), order_.size(), "guard", here);
    std::size_t locked = 0;
    try {
      for (; locked < order_.size(); ++locked) {
        with(order_[locked], [&](auto& lock) { lock_one(lock, here); });
      }
    } catch (...) {
      unlock_first(locked);
      throw;
    }
  }
  ~guard() { unlock_first(order_.size()); }
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;

 private:
  template <class Lock>
  static void lock_one(Lock& lock, const place& here) {
    if constexpr (requires { lock.lock(here); }) {
      lock.lock(here);
    } else {
      lock.lock();
    }
  }
  template <class Act>
  void with(std::size_t position, Act act) {
    std::apply(
        [&](auto&... locks) {
          std::size_t i = 0;
          ((i++ == position ? act(locks) : void()), ...);
        },
        locks_);
  }
  void unlock_first(std::size_t n) {
    while (n-- != 0) with(order_[n], [](auto& lock) { lock.unlock(); });
  }

  std::tuple<Locks&...> locks_;
  std::array<std::size_t, sizeof...(Locks)> order_{};
};

template <class... Locks>
guard(Locks&...) -> guard<Locks...>;

}  // namespace tutti
