#include <tutti/process/process_mutex.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/blocking_wait.hpp>
#include <tutti/core/last_look.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/process_futex.hpp>
#include <tutti/process/process_key.hpp>
#include <tutti/process/robust_mutex.hpp>
#include <tutti/process/segment_name.hpp>

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>

namespace tutti {

using outcome = detail::robust_mutex::outcome;

// In the segment.
struct process_mutex::content {
  explicit content(std::string_view called) : name(called, "process_mutex") {}

  detail::robust_mutex mutex;
  // Who holds it, written by that thread alone, for errors and for the check of mapping; relaxed, as a thread finds
  // itself there only if it has written it. The mutex alone decides. Whoever is killed leaves it.
  std::atomic<detail::thread_key> owner{0};
  // An owner died, and who was to be told found no memory for the words. Changed by who holds the mutex.
  std::atomic<bool> untold{false};
  const detail::segment_name name;
};

const detail::segment_form process_mutex::form{"process_mutex", detail::segment_form::mutex, sizeof(content),
                                               alignof(content)};
const std::size_t process_mutex::bytes = sizeof(content);

// The segment in this process, for all handles that were copied from each other here. A held mutex is linked with the
// other locks that its thread holds: it must not be unmapped.
class process_mutex::mapping {
 public:
  explicit mapping(detail::shared_segment&& mapped)
      : segment(std::move(mapped)), shared(*std::launder(reinterpret_cast<content*>(segment.body(form.what)))) {}
  mapping(const mapping&) = delete;
  mapping& operator=(const mapping&) = delete;
  ~mapping() {
    // Not held any more by a thread that has ended, which another one may have repaired elsewhere; a forked child has
    // inherited the note, but not the lock.
    const detail::thread_key locker = locked_by.load(std::memory_order_relaxed);
    if (locker == 0 || shared.owner.load(std::memory_order_relaxed) != locker || !detail::runs_here(locker)) return;
    std::fprintf(stderr, "tutti: fatal: %s destroyed while it is locked\n", text().c_str());
    std::abort();
  }

  std::string text() const { return detail::primitive_text("process_mutex", shared.name.view()); }

  void note_locked() noexcept {
    shared.owner.store(detail::this_thread(), std::memory_order_relaxed);
    locked_by.store(detail::this_thread(), std::memory_order_relaxed);
  }
  // Not held: false. Held from now on: true; or owner_lost, and not held.
  bool judge(outcome result) {
    if (result == outcome::busy || result == outcome::mine) return false;
    if (result == outcome::taken_from_dead || shared.untold.load(std::memory_order_relaxed)) throw_owner_lost();
    note_locked();
    return true;
  }
  [[noreturn]] void throw_owner_lost() {
    shared.untold.store(true, std::memory_order_relaxed);
    const struct lock_holder {
      detail::robust_mutex& mutex;
      ~lock_holder() { mutex.unlock(); }
    } held{shared.mutex};
    const auto dead = detail::pid_of_thread(shared.owner.load(std::memory_order_relaxed));
    const owner_lost lost(text() + ": " +
                          (dead == 0 ? "its last owner" : "a thread of process " + std::to_string(dead)) +
                          " ended while it held it, and what it protects may be half done; it is free again. "
                          "lock_to_repair() keeps the lock and says so");
    shared.owner.store(0, std::memory_order_relaxed);
    shared.untold.store(false, std::memory_order_relaxed);  // there is something to tell it with
    throw lost;
  }
  [[noreturn]] void throw_deadlock(const char* what, const place& at) const {
    throw deadlock(text() + ": " + what + " at " + to_string(at) +
                   " by this thread, which holds it already and would wait for itself; unlock it first");
  }

  // Not busy, but when the time is up.
  outcome take(const char* what, std::chrono::steady_clock::time_point deadline, const place& at) {
    for (spinner spin(spinner::before_sleep);;) {
      const outcome result = shared.mutex.try_lock();
      if (result == outcome::mine) throw_deadlock(what, at);
      if (result != outcome::busy) return result;
      if (deadline != forever && std::chrono::steady_clock::now() >= deadline) return result;
      if (!spin.once()) break;
    }
    const wait_target target{&shared, wait_rule::unknown, "process_mutex", shared.name.view()};
    const wait_how how{
        .here = at, .what = what, .target = &target, .instead = "a task of a thread_pool that needs the lock"};
    const blocking_wait blocked(&shared, how);
    return shared.mutex.block_until(deadline);
  }

  static constexpr auto forever = std::chrono::steady_clock::time_point::max();
  const detail::shared_segment segment;
  content& shared;
  // Who locked it through this mapping; changed by who holds it. Whoever ends with it leaves it.
  std::atomic<detail::thread_key> locked_by{0};
};

process_mutex::process_mutex(std::string_view name)
    : process_mutex([&] {
        detail::shared_segment segment(form, 1, bytes);
        ::new (segment.body(form.what)) content(name);
        return segment;
      }()) {}

process_mutex::process_mutex(detail::shared_segment&& segment)
    : here_(segment ? std::make_shared<mapping>(std::move(segment)) : nullptr) {}

detail::shared_segment process_mutex::segment() const noexcept {
  return here_ == nullptr ? detail::shared_segment() : here_->segment;
}

process_mutex::mapping& process_mutex::inside() const {
  if (here_ == nullptr) static_cast<void>(segment().body(form.what));  // throws
  return *here_;
}

void process_mutex::lock(place at) const {
  mapping& m = inside();
  m.judge(m.take("process_mutex::lock", mapping::forever, at));
}

bool process_mutex::try_lock() const {
  mapping& m = inside();
  return m.judge(m.shared.mutex.try_lock());
}

bool process_mutex::lock_for(std::chrono::nanoseconds limit, place at) const {
  mapping& m = inside();
  return m.judge(m.take("process_mutex::lock_for", detail::machine_time_after(limit), at));
}

bool process_mutex::lock_to_repair(place at) const {
  mapping& m = inside();
  const outcome result = m.take("process_mutex::lock_to_repair", mapping::forever, at);
  m.note_locked();
  const bool untold = m.shared.untold.exchange(false, std::memory_order_relaxed);
  return result == outcome::taken_from_dead || untold;
}

void process_mutex::unlock() const {
  mapping& m = inside();
  const detail::thread_key owner = m.shared.owner.load(std::memory_order_relaxed);
  const bool mine = owner == detail::this_thread();
  if (mine && m.locked_by.load(std::memory_order_relaxed) == owner) {
    // Before others can have it.
    m.locked_by.store(0, std::memory_order_relaxed);
    m.shared.owner.store(0, std::memory_order_relaxed);
    if (m.shared.mutex.unlock()) return;
  }
  std::string holder = "nobody holds it";
  if (mine) {
    holder = "it was locked through a handle that came another way, from another process";
  } else if (owner != 0) {
    holder = "a thread of process " + std::to_string(detail::pid_of_thread(owner)) + " holds it";
  }
  throw not_owner(m.text() + ": unlocked by a thread of process " + std::to_string(::getpid()) + ", but " + holder +
                  "; only the thread that locked it may unlock it");
}

std::string_view process_mutex::name() const { return inside().shared.name.view(); }

}  // namespace tutti
