#include <tutti/sync/rw_lock.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/last_look.hpp>
#include <tutti/sync/lock_forms.hpp>

namespace tutti::detail {
namespace {

constexpr lock_words exclusive_words{"shared_mutex", "shared_mutex::lock",       "shared_mutex::lock_for",
                                     "lock_async()", "shared_mutex::lock_async", "shared_mutex::lock_for_async"};
constexpr lock_words shared_words{
    "shared_mutex",        "shared_mutex::lock_shared",       "shared_mutex::lock_shared_for",
    "lock_shared_async()", "shared_mutex::lock_shared_async", "shared_mutex::lock_shared_for_async"};

lock_word owner_in(const waiter& entry) noexcept { return reinterpret_cast<lock_word>(entry.context); }

}  // namespace

rw_lock::~rw_lock() {
  const lock_word seen = state_.load(std::memory_order_relaxed) & ~waiting;
  last_look(waiters_, "shared_mutex", name_,
            seen == 0               ? nullptr
            : (seen & writing) != 0 ? "it is locked"
                                    : "it is locked by readers");
}

const lock_words& rw_lock::words(lock_word me) const noexcept { return reads(me) ? shared_words : exclusive_words; }

// ---------------------------------------------------------------- locking

void rw_lock::lock_slow(lock_word kind, const place& here) { lock_now(*this, self_word() | kind, here); }
bool rw_lock::try_lock(lock_word kind, const place& here) noexcept { return lock_try(*this, self_word() | kind, here); }
bool rw_lock::lock_for(lock_word kind, std::chrono::nanoseconds limit, const place& here) {
  return lock_within(*this, self_word() | kind, limit, here);
}
void rw_lock::lock(lock_word kind, const std::stop_token& stop, const place& here) {
  lock_unless_stopped(*this, self_word() | kind, stop, here);
}

bool rw_lock::allowed(lock_word seen, lock_word me) const noexcept {
  if (!reads(me)) return seen == 0;
  return (seen & writing) == 0 && readers(seen) < max_readers &&
         ((seen & waiting) == 0 || policy_ == shared_policy::prefer_readers);
}

bool rw_lock::try_take(lock_word me) noexcept {
  lock_word seen = state_.load(std::memory_order_relaxed);
  while (allowed(seen, me)) {
    const lock_word taken = reads(me) ? seen + as_one_reader(me) : as_writer(me);
    if (state_.compare_exchange_weak(seen, taken, std::memory_order_acquire, std::memory_order_relaxed)) return true;
  }
  return false;
}

// Relaxed where it fails: under the list's lock it sees at least what the last one under that lock has left, and
// `waiting` is cleared nowhere else.
bool rw_lock::take_or_queue(lock_word me, bool) noexcept {
  for (;;) {
    if (try_take(me)) return true;
    lock_word seen = state_.load(std::memory_order_relaxed);
    if (allowed(seen, me)) continue;
    if ((seen & waiting) != 0) return false;
    if (state_.compare_exchange_weak(seen, seen | waiting, std::memory_order_relaxed)) return false;
  }
}

void rw_lock::refuse_relock(lock_word me, const char* what, const place& here) const {
  const lock_word seen = state_.load(std::memory_order_relaxed) & ~waiting;
  const bool writes = seen == as_writer(self_word());
  const bool alone = !reads(me) && seen == as_one_reader(self_word());
  if (!writes && !alone) return;
  throw deadlock(primitive_text("shared_mutex", name_) + ": " + what + " at " + to_string(here) + " by " + self_text() +
                 ", which holds it already" + (writes ? "" : " to read") +
                 " and would wait for itself; unlock it first" + (writes ? "" : " and look again at what was read"));
}

// ---------------------------------------------------------------- unlocking

void rw_lock::unlock_slow() {
  const lock_word seen = state_.load(std::memory_order_relaxed) & ~waiting;
  if (seen != as_writer(self_word())) {
    throw_not_owner("unlock", seen == 0                ? "nobody holds it"
                              : (seen & writing) == 0  ? "readers hold it, who call unlock_shared"
                              : (seen & by_guard) != 0 ? "an async_lock_guard holds it"
                                                       : "another task or thread holds it");
  }
  wait_graph::releases(this);
  if (!free_unwanted(self_word())) free_slow();
}

void rw_lock::unlock_shared_slow() {
  const lock_word me = self_word();
  const lock_word seen = state_.load(std::memory_order_relaxed) & ~waiting;
  const char* const stranger =
      "it is not among those who hold it to read, or somebody was not who called unlock_shared before";
  if (seen == 0) throw_not_owner("unlock_shared", "nobody holds it");
  if ((seen & writing) != 0) throw_not_owner("unlock_shared", "it is locked exclusively");
  if (readers(seen) == 1 && seen != as_one_reader(me)) throw_not_owner("unlock_shared", stranger);
  wait_graph::releases(this);
  if (!leave_readers_slow(me)) throw_not_owner("unlock_shared", stranger);
}

void rw_lock::unlock_guarded(lock_word me) noexcept {
  if (!reads(me)) {
    if (!free_unwanted(me)) free_slow();
  } else if (!leave_readers(me)) {
    leave_readers_slow(me);
  }
}

// Held exclusively by the caller: nobody else changes the word but to set `waiting`, and who does so looks again once
// it has the list's lock.
void rw_lock::free_slow() noexcept {
  handed_over in;
  const std::lock_guard lock(waiters_.mutex());
  const lock_word held = admit(0, in);
  state_.store(held | more(), std::memory_order_release);
}

// False: the last reader there was is somebody else.
bool rw_lock::leave_readers_slow(lock_word me) noexcept {
  me &= ~as_reader;
  const lock_word mine = as_one_reader(me);
  handed_over in;
  std::unique_lock lock(waiters_.mutex(), std::defer_lock);
  lock_word seen = state_.load(std::memory_order_relaxed);
  for (;;) {
    if ((seen & writing) != 0 || readers(seen) == 0) return false;
    if (readers(seen) == 1 && (seen & ~waiting) != mine) return false;
    const bool hand_over = seen == (mine | waiting);
    if (hand_over && !lock.owns_lock()) {
      lock.lock();
      seen = state_.load(std::memory_order_relaxed);
      continue;
    }
    // To hand over, it becomes the only owner first: no reader comes in between. acquire: it acts for all readers that
    // have left before.
    const lock_word next = hand_over ? writing | waiting : seen - mine;
    if (!state_.compare_exchange_weak(seen, next, std::memory_order_acq_rel, std::memory_order_relaxed)) continue;
    if (hand_over) {
      const lock_word held = admit(0, in);
      state_.store(held | more(), std::memory_order_release);
    }
    return true;
  }
}

// ---------------------------------------------------------------- whose turn it is

void rw_lock::left(lock_word) noexcept {
  handed_over in;
  const std::lock_guard lock(waiters_.mutex());
  if (waiters_.first() == nullptr) {
    state_.fetch_and(~waiting, std::memory_order_relaxed);
    return;
  }
  // Somebody waits, so `waiting` is set and the last reader cannot leave without the list's lock: what is read here as
  // held by readers stays so. acquire: those it lets in see what the last writer wrote.
  const lock_word seen = state_.load(std::memory_order_acquire);
  if ((seen & writing) != 0) return;
  const lock_word before = seen & ~waiting;
  const lock_word held = admit(before, in);
  state_.fetch_add(held - before, std::memory_order_relaxed);
  if (waiters_.first() == nullptr) state_.fetch_and(~waiting, std::memory_order_relaxed);
}

// A claim comes before the word says so: who was granted the lock passes the list's lock before it goes on.
lock_word rw_lock::admit(lock_word held, handed_over& in) noexcept {
  do {
    if (held == 0 && policy_ != shared_policy::prefer_readers) held = admit_writer(in);
    const bool readers_may = (held & writing) == 0 && (policy_ != shared_policy::prefer_writers || !writer_waits());
    if (readers_may) held = admit_readers(held, in);
    if (held == 0 && policy_ == shared_policy::prefer_readers) held = admit_writer(in);
  } while (held == 0 && waiters_.first() != nullptr);  // all who were looked at have given up
  return held;
}

// The first that waits; if it is fair, only from the front.
lock_word rw_lock::admit_writer(handed_over& in) noexcept {
  for (waiter* one = waiters_.first(); one != nullptr;) {
    waiter* const next = one->next;
    const lock_word owner = owner_in(*one);
    if (reads(owner)) {
      if (policy_ == shared_policy::fair) return 0;
    } else if (in.add(waiters_, *one)) {
      return as_writer(owner);
    }
    one = next;
  }
  return 0;
}

// All that wait; if it is fair, up to the first writer.
lock_word rw_lock::admit_readers(lock_word held, handed_over& in) noexcept {
  for (waiter* one = waiters_.first(); one != nullptr && readers(held) < max_readers;) {
    waiter* const next = one->next;
    const lock_word owner = owner_in(*one);
    if (!reads(owner)) {
      if (policy_ == shared_policy::fair) break;
    } else if (in.add(waiters_, *one)) {
      held += as_one_reader(owner);
    }
    one = next;
  }
  return held;
}

bool rw_lock::writer_waits() const noexcept {
  for (const waiter* one = waiters_.first(); one != nullptr; one = one->next) {
    if (!reads(owner_in(*one))) return true;
  }
  return false;
}

void rw_lock::throw_not_owner(const char* operation, const char* why) const {
  throw not_owner(primitive_text("shared_mutex", name_) + ": " + operation + " by " + self_text() + ", but " + why +
                  "; only who locked it may unlock it");
}

}  // namespace tutti::detail
