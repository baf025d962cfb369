#include <tutti/sync/exclusive_lock.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/last_look.hpp>
#include <tutti/sync/lock_forms.hpp>

namespace tutti::detail {

std::string self_text() {
  const wait_party self = wait_graph::self();
  if (self.task == nullptr) return "this thread";
  return "this task, " + std::string(shown_name(self.task));
}

exclusive_lock::~exclusive_lock() {
  const bool locked = owner_of(state_.load(std::memory_order_relaxed)) != 0;
  last_look(waiters_, words_->kind, name_, locked ? "it is locked" : nullptr);
}

// ---------------------------------------------------------------- locking

void exclusive_lock::lock_slow(const place& here) { lock_now(*this, self_word(), here); }
bool exclusive_lock::try_lock_slow(const place& here) noexcept { return lock_try(*this, self_word(), here); }
bool exclusive_lock::lock_for(std::chrono::nanoseconds limit, const place& here) {
  return lock_within(*this, self_word(), limit, here);
}
void exclusive_lock::lock(const std::stop_token& stop, const place& here) {
  lock_unless_stopped(*this, self_word(), stop, here);
}

bool exclusive_lock::try_take(lock_word me) noexcept {
  lock_word seen = state_.load(std::memory_order_relaxed);
  while (owner_of(seen) == 0) {
    if (state_.compare_exchange_weak(seen, me | seen, std::memory_order_acquire, std::memory_order_relaxed))
      return true;
  }
  return false;
}

// Relaxed where it fails: under the list's lock it sees at least what the last one under that lock has left, and a word
// with `waiting` is freed nowhere else.
bool exclusive_lock::take_or_queue(lock_word me, bool tried) noexcept {
  lock_word seen = state_.load(std::memory_order_relaxed);
  for (;;) {
    const lock_word kept = tried ? seen & ~woken : seen;
    const bool free = owner_of(seen) == 0;
    const lock_word wanted = free ? kept | me : kept | waiting;
    if (wanted == seen) return false;
    if (state_.compare_exchange_weak(seen, wanted, std::memory_order_acquire, std::memory_order_relaxed)) return free;
  }
}

// Otherwise everybody would leave it to the one who was woken.
void exclusive_lock::left(lock_word) noexcept {
  const lock_word seen = state_.fetch_and(~woken, std::memory_order_relaxed);
  if (owner_of(seen) == 0) waiters_.wake_one();
}

// ---------------------------------------------------------------- unlocking

void exclusive_lock::unlock_slow() {
  const lock_word seen = state_.load(std::memory_order_relaxed);
  if (owner_of(seen) != self_word()) throw_not_owner(seen);
  wait_graph::releases(this);
  if (!free_unwanted(self_word())) free_slow();
}

void exclusive_lock::free_slow() noexcept { free_or_hand_over()(); }

// Whoever is to be woken is so by the caller, without the list's lock: a coroutine may go on in place. A thread may
// have gone on by then; nothing of it is touched but its parker, which stays.
wake_up exclusive_lock::free_or_hand_over() noexcept {
  const std::lock_guard lock(waiters_.mutex());
  for (;;) {
    waiter* const first = waiters_.first();
    if (first == nullptr) {
      state_.store(0, std::memory_order_release);
      return {};
    }
    // Whoever is woken or granted the lock passes the list's lock before it goes on, so it finds the word stored here.
    if (first->losses >= losses_until_handed_over) {
      const auto next_owner = reinterpret_cast<lock_word>(first->context);
      const wake_up next = waiters_.grant(*first);
      if (!next) continue;  // it has given up
      // Without `woken`: at worst two are awake.
      state_.store(next_owner | (waiters_.first() != nullptr ? waiting : 0), std::memory_order_release);
      return next;
    }
    lock_word seen = state_.load(std::memory_order_relaxed);
    if ((seen & woken) != 0) {
      // In one step: if the one who was woken has tried just now, somebody else must be.
      if (state_.compare_exchange_strong(seen, waiting | woken, std::memory_order_release, std::memory_order_relaxed)) {
        return {};
      }
      continue;
    }
    if (const wake_up next = waiters_.grant(*first, first->outcome)) {
      state_.store((waiters_.first() != nullptr ? waiting : 0) | woken, std::memory_order_release);
      return next;
    }
  }
}

// ---------------------------------------------------------------- misuse

void exclusive_lock::refuse_relock(lock_word, const char* what, const place& here) const {
  if (!is_mine()) return;
  throw deadlock(primitive_text(words_->kind, name_) + ": " + what + " at " + to_string(here) + " by " + self_text() +
                 ", which holds it already and would wait for itself; unlock it first, or use a recursive_mutex");
}

void exclusive_lock::throw_not_owner(lock_word seen) const {
  const char* holder = "nobody holds it";
  if (owner_of(seen) != 0)
    holder = (seen & by_guard) != 0 ? "an async_guard holds it" : "another task or thread holds it";
  throw not_owner(primitive_text(words_->kind, name_) + ": unlocked by " + self_text() + ", but " + holder +
                  "; only who locked it may unlock it");
}

}  // namespace tutti::detail
