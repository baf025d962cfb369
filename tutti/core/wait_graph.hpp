// wait_graph: who holds what and who waits for what, told to an observer; one predictable branch when nobody listens.
#pragma once
#include <tutti/base/place.hpp>

#include <atomic>

namespace tutti {

/// One end of an edge: a task (its future's state), or the thread itself outside tasks (its thread_record). Compared by
/// address only.
using wait_party = const void*;

/// Learns of holds and waits, from any thread, concurrently. What begin_wait throws is thrown by the wait itself, which
/// is how a deadlock detector refuses the wait that would complete a cycle.
class wait_observer {
 public:
  virtual ~wait_observer() = default;
  /// `who` is about to sleep until `resource` lets it go on. `what` is a literal: "mutex::lock", "future::get", ...
  virtual void begin_wait(wait_party who, const void* resource, const char* what, const place& here) = 0;
  /// That wait is over.
  virtual void end_wait(wait_party who, const void* resource) noexcept = 0;
  /// `who` must act before those who wait for `resource` can go on.
  virtual void holds(wait_party who, const void* resource, const place& here) noexcept = 0;
  /// No more.
  virtual void releases(wait_party who, const void* resource) noexcept = 0;
};

namespace wait_graph {

inline constinit std::atomic<wait_observer*> active{nullptr};

/// Installs an observer, or none; returns the one before. Threads may still be inside the old one when this returns.
inline wait_observer* observe(wait_observer* observer) noexcept {
  return active.exchange(observer, std::memory_order_acq_rel);
}
inline wait_observer* observer() noexcept { return active.load(std::memory_order_acquire); }

/// The party this code acts for.
wait_party self() noexcept;

inline void holds(const void* resource, const place& here) noexcept {
  if (wait_observer* o = observer(); o != nullptr) [[unlikely]]
    o->holds(self(), resource, here);
}
inline void releases(const void* resource) noexcept {
  if (wait_observer* o = observer(); o != nullptr) [[unlikely]]
    o->releases(self(), resource);
}

/// Reports a wait while it lives; throws what the observer throws.
class waits_for {
 public:
  waits_for(const void* resource, const char* what, const place& here) : observer_(observer()) {
    if (observer_ == nullptr) [[likely]]
      return;
    resource_ = resource;
    who_ = self();
    observer_->begin_wait(who_, resource, what, here);
  }
  ~waits_for() {
    if (observer_ != nullptr) [[unlikely]]
      observer_->end_wait(who_, resource_);
  }
  waits_for(const waits_for&) = delete;
  waits_for& operator=(const waits_for&) = delete;

 private:
  wait_observer* observer_;
  const void* resource_ = nullptr;
  wait_party who_ = nullptr;
};

}  // namespace wait_graph
}  // namespace tutti
