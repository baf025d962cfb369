#include <tutti/core/parker.hpp>

#include <tutti/base/at_fork.hpp>

#include <mutex>

namespace tutti {
namespace {

// Leaked on purpose: parkers outlive every thread, those that end after main's statics included.
struct free_parkers {
  free_parkers() { held_at_fork(mutex); }
  std::mutex mutex;
  parker* head = nullptr;
};

free_parkers& the_free_parkers() {
  static auto* list = new free_parkers;
  return *list;
}

}  // namespace

bool parker::park_until(const std::chrono::steady_clock::time_point* deadline) noexcept {
  std::uint32_t seen = empty;
  // acquire: pairs with the release in unpark, so that the waker's writes are visible.
  if (state_.compare_exchange_strong(seen, asleep, std::memory_order_acquire)) {
    for (;;) {
      cpu::futex_wait(state_, asleep, deadline);
      if (state_.load(std::memory_order_acquire) == token) break;
      if (deadline != nullptr && std::chrono::steady_clock::now() >= *deadline) {
        // An unpark may come between the look above and here: exchange takes its token, so that it is not lost.
        return state_.exchange(empty, std::memory_order_acquire) == token;
      }
    }
  }
  // An exchange, not a store: a second unpark may have come since, and taking its token means seeing its writes.
  state_.exchange(empty, std::memory_order_acquire);
  return true;
}

parker_lease::parker_lease() {
  auto& list = the_free_parkers();
  const std::lock_guard lock(list.mutex);
  if (list.head != nullptr) {
    parker_ = list.head;
    list.head = parker_->next_free_;
  } else {
    parker_ = new parker;
  }
}

parker_lease::~parker_lease() {
  auto& list = the_free_parkers();
  const std::lock_guard lock(list.mutex);
  parker_->next_free_ = list.head;
  list.head = parker_;
}

}  // namespace tutti
