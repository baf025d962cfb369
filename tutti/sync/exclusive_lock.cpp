#include <tutti/sync/exclusive_lock.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/last_look.hpp>
#include <tutti/core/timers.hpp>

namespace tutti::detail {
namespace {

// "this task", with its name if it has one, or "this thread".
std::string self_text() {
  const wait_party self = wait_graph::self();
  if (self.task == nullptr) return "this thread";
  return "this task, " + std::string(shown_name(self.task));
}

}  // namespace

exclusive_lock::~exclusive_lock() {
  const bool locked = owner_of(state_.load(std::memory_order_relaxed)) != 0;
  last_look(waiters_, words_->kind, name_, locked ? "it is locked" : nullptr);
}

// ---------------------------------------------------------------- locking

void exclusive_lock::lock_slow(const place& here) {
  take(self(), {.here = here, .what = words_->lock, .instead = words_->instead});
}

bool exclusive_lock::lock_for(std::chrono::nanoseconds limit, const place& here) {
  if (limit <= limit.zero()) return try_lock(here);
  if (!observed() && take_unused(self())) return true;
  const auto deadline = time_after(limit);
  const bool endless = deadline == std::chrono::steady_clock::time_point::max();
  return take(self(), {.deadline = endless ? nullptr : &deadline,
                       .here = here,
                       .what = words_->lock_for,
                       .instead = words_->instead}) == wait_result::ready;
}

void exclusive_lock::lock(const std::stop_token& stop, const place& here) {
  if (!observed() && take_unused(self())) return;
  if (take(self(), {.stop = stop, .here = here, .what = words_->lock, .instead = words_->instead}) ==
      wait_result::ready) {
    return;
  }
  throw cancelled(primitive_text(words_->kind, name_) + ": asked to stop while it waited for the lock at " +
                  to_string(here));
}

bool exclusive_lock::try_lock_slow(const place& here) noexcept {
  if (!try_take(self())) return false;
  wait_graph::holds(target(), here, false);
  return true;
}

wait_result exclusive_lock::take(word me, wait_how how) {
  const wait_target wanted = target();
  how.target = &wanted;
  const auto at_once = [&] { return try_take(me); };
  const auto taken = [&] {
    if (at_once()) return wait_result::ready;
    refuse_relock(how.what, how.here);
    if (const auto early = wait_list::spin(at_once, how)) return *early;
    bool tried = false;
    try {
      return waiters_.sleep([&] { return take_or_queue(me, std::exchange(tried, true)); }, how, as_context(me));
    } catch (...) {
      not_coming();
      throw;
    }
  }();
  if (taken == wait_result::ready) wait_graph::holds(wanted, how.here);
  return taken;
}

bool exclusive_lock::try_take(word me) noexcept {
  word seen = state_.load(std::memory_order_relaxed);
  while (owner_of(seen) == 0) {
    if (state_.compare_exchange_weak(seen, me | seen, std::memory_order_acquire, std::memory_order_relaxed))
      return true;
  }
  return false;
}

// Relaxed where it fails: under the list's lock it sees at least what the last one under that lock has left, and a word
// with `waiting` is freed nowhere else.
bool exclusive_lock::take_or_queue(word me, bool tried) noexcept {
  word seen = state_.load(std::memory_order_relaxed);
  for (;;) {
    const word kept = tried ? seen & ~woken : seen;
    const bool free = owner_of(seen) == 0;
    const word wanted = free ? kept | me : kept | waiting;
    if (wanted == seen) return false;
    if (state_.compare_exchange_weak(seen, wanted, std::memory_order_acquire, std::memory_order_relaxed)) return free;
  }
}

// A wait was given up by an exception, perhaps after it was woken: whoever waits besides is not to wait for it.
void exclusive_lock::not_coming() noexcept {
  const word seen = state_.fetch_and(~woken, std::memory_order_relaxed);
  if (owner_of(seen) == 0) waiters_.wake_one();
}

// ---------------------------------------------------------------- unlocking

void exclusive_lock::unlock_slow() {
  const word seen = state_.load(std::memory_order_relaxed);
  if (owner_of(seen) != self()) throw_not_owner(seen);
  wait_graph::releases(this);
  if (!free_unwanted(self())) free_slow();
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
    if (first->losses >= losses_until_handed_over) {
      // Its own before it can know: from the claim on it may unlock. If it has given up, the next one is looked at; the
      // word does not matter in between, nobody takes a lock that is owned. Without `woken`: at worst two are awake.
      const word more = first->next != nullptr ? waiting : 0;
      state_.store(reinterpret_cast<word>(first->context) | more, std::memory_order_release);
      if (const wake_up next = waiters_.grant(*first)) return next;
      continue;
    }
    word seen = state_.load(std::memory_order_relaxed);
    if ((seen & woken) != 0) {
      // In one step: if the one who was woken has tried just now, somebody else must be.
      if (state_.compare_exchange_strong(seen, waiting | woken, std::memory_order_release, std::memory_order_relaxed)) {
        return {};
      }
      continue;
    }
    // Who is woken passes the list's lock before it tries, so it finds the word that is stored here.
    if (const wake_up next = waiters_.grant(*first, first->outcome)) {
      state_.store((waiters_.first() != nullptr ? waiting : 0) | woken, std::memory_order_release);
      return next;
    }
  }
}

// ---------------------------------------------------------------- misuse

void exclusive_lock::refuse_relock(const char* what, const place& here) const {
  if (!is_mine()) return;
  throw deadlock(primitive_text(words_->kind, name_) + ": " + what + " at " + to_string(here) + " by " + self_text() +
                 ", which holds it already and would wait for itself; unlock it first, or use a recursive_mutex");
}

void exclusive_lock::throw_not_owner(word seen) const {
  const char* holder = "nobody holds it";
  if (owner_of(seen) != 0)
    holder = (seen & by_guard) != 0 ? "an async_guard holds it" : "another task or thread holds it";
  throw not_owner(primitive_text(words_->kind, name_) + ": unlocked by " + self_text() + ", but " + holder +
                  "; only who locked it may unlock it");
}

}  // namespace tutti::detail
