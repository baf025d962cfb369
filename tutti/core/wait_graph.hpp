// wait_graph: who holds what and who waits for what, told to an observer; one predictable branch when nobody listens.
//
// The hooks are placed so that an observer who sees a circle can rely on it:
//   - a wait is reported once its ticket can be claimed, and until then nobody's wake-up can have been missed; whoever
//     ends the wait claims the ticket first, so a wait whose ticket is open is one that nobody has ended;
//   - a hold is reported after it was acquired, and its end before it is given up: what is reported is held.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/core/task_frame.hpp>

#include <atomic>
#include <cstddef>
#include <span>
#include <string_view>

namespace tutti {

class wait_ticket;

/// One end of an edge: a task, known by its future's state; a stolen branch of a task, which runs beside it, or a
/// posted function, known by its frame; or a thread outside tasks.
struct wait_party {
  const void* id = nullptr;    ///< compared only
  const char* task = nullptr;  ///< its name; null: it is the thread that reports it
};

/// Which of those who hold a resource must act before a wait for it can end.
enum class wait_rule : std::uint8_t {
  unknown,      ///< anybody may end it
  all_release,  ///< all who hold it now: a mutex, a shared_mutex
  one_acts,     ///< any one of them, and nobody else: permits, the other ends of a channel
  it_ends,      ///< the resource is itself a party, a task, which must end
};

/// Something that is waited for. The name must outlive it.
struct wait_target {
  const void* resource = nullptr;
  wait_rule rule = wait_rule::unknown;
  const char* kind = "";  ///< a literal: "mutex"
  std::string_view name = {};
  bool shared = false;  ///< of a hold or a wait: others that are shared are not in its way, as a reader's
};

/// Learns of holds and waits, from any thread, concurrently.
class wait_observer {
 public:
  /// One wait; lives until end_wait returns.
  struct wait {
    wait_party who;
    std::span<const wait_target> targets;  ///< one of them ends it; empty: nobody knows what does
    bool all = false;                      ///< not one: all of them are needed
    const wait_ticket* ticket = nullptr;   ///< claimed when the wait has been ended; null: it lasts until end_wait
    bool limited = false;                  ///< a time limit or a stop request may end it too
    const char* what = "";                 ///< a literal: "mutex::lock", "future::get"
    place here = {};
  };

  virtual ~wait_observer() = default;
  /// What it throws is thrown by the wait itself, which is how a deadlock detector refuses the one that would complete
  /// a circle.
  virtual void begin_wait(const wait& begun) = 0;
  virtual void end_wait(const wait& ended) noexcept = 0;
  /// `resource`, of rule one_acts, is new: at most `total` may hold it at once.
  virtual void born(const wait_target& resource, std::size_t total) noexcept = 0;
  /// It is no more.
  virtual void gone(const void* resource) noexcept = 0;
  /// `who` holds `resource` now, once more; an id of nullptr: somebody unknown. `waited`: it would have waited for it.
  virtual void holds(const wait_party& who, const wait_target& resource, const place& here, bool waited) noexcept = 0;
  /// `who` holds it once less.
  virtual void releases(const void* who, const void* resource) noexcept = 0;
  /// The party is no more, and its address may be another's soon. What it still holds is in unknown hands.
  virtual void ended(const void* who) noexcept = 0;
};

namespace wait_graph {

inline constinit std::atomic<wait_observer*> active{nullptr};

/// Installs an observer, or none; returns the one before. Threads may still be inside the old one when this returns.
inline wait_observer* observe(wait_observer* observer) noexcept {
  return active.exchange(observer, std::memory_order_acq_rel);
}
inline wait_observer* observer() noexcept { return active.load(std::memory_order_acquire); }

namespace detail {
alignas(16) inline constinit thread_local char this_thread = 0;
}  // namespace detail

/// The party this code acts for: its task, or its thread outside tasks. Never null; a multiple of 8.
inline const void* self_id() noexcept {
  if (this_frame != nullptr && this_frame->party != nullptr) return this_frame->party;
  return &detail::this_thread;
}
inline wait_party self() noexcept {
  if (this_frame != nullptr && this_frame->party != nullptr) return {this_frame->party, this_frame->name};
  return {&detail::this_thread, nullptr};
}

inline void holds(const wait_target& resource, const place& here, bool waited = true) noexcept {
  if (wait_observer* const o = observer(); o != nullptr) [[unlikely]]
    o->holds(self(), resource, here, waited);
}
inline void releases(const void* resource) noexcept {
  if (wait_observer* const o = observer(); o != nullptr) [[unlikely]]
    o->releases(self_id(), resource);
}

inline void ended(const void* who) noexcept {
  if (wait_observer* const o = observer(); o != nullptr) [[unlikely]]
    o->ended(who);
}
inline void gone(const void* resource) noexcept {
  if (wait_observer* const o = observer(); o != nullptr) [[unlikely]]
    o->gone(resource);
}

/// `here`, unless that is inside the standard library (std::lock_guard) or empty: then the code address of the call, in
/// the form `program+0x1234`, which addr2line understands. For observed calls: such texts live for ever.
place caller_place(const place& here, const void* return_address);

/// The same when somebody listens; `here` otherwise.
inline place told_place(const place& here, const void* return_address) {
  return observer() == nullptr ? here : caller_place(here, return_address);
}

/// Reports one wait at a time. Costs two pointers while nobody listens.
class watched_wait {
 public:
  watched_wait() = default;
  ~watched_wait() { end(); }
  watched_wait(const watched_wait&) = delete;
  watched_wait& operator=(const watched_wait&) = delete;

  /// `what` and its targets are copied. Throws what the observer throws; then the wait was not begun.
  void begin(const wait_observer::wait& what) {
    if (wait_observer* const o = observer(); o != nullptr) [[unlikely]]
      begin_observed(*o, what);
  }
  void end() noexcept {
    if (kept_ != nullptr) [[unlikely]]
      end_observed();
  }

 private:
  struct kept;
  void begin_observed(wait_observer& by, const wait_observer::wait& what);
  void end_observed() noexcept;

  wait_observer* observer_ = nullptr;
  kept* kept_ = nullptr;
};

}  // namespace wait_graph
}  // namespace tutti
