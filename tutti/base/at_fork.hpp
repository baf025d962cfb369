// at_fork: what the library's own state needs so that a child made by fork() can go on using the library.
//
// A child has one thread, and whatever another thread had locked at that moment stays locked in it for ever. Locks that
// live as long as the process are therefore held by the forking thread itself while it forks; and what has them is made
// before main, because a thread that is just making it on first use would leave it half made in the child. That is
// `process_wide`. For the same reason no local static is initialised by what takes such a lock.
#pragma once
#include <atomic>
#include <cstdint>
#include <new>

namespace tutti {

namespace detail {
struct lock_at_fork {
  void* lock;
  void (*acquire)(void*);
  void (*release)(void*);
  void (*renew)(void*);
  lock_at_fork* next = nullptr;
};
void add_lock_at_fork(lock_at_fork& entry) noexcept;

// In the child. Not unlocked: threads that are not in it may wait for it.
template <class Lock>
void renew_lock(void* lock) {
#if defined(__SANITIZE_THREAD__)
  static_cast<Lock*>(lock)->unlock();  // this sanitizer would take the new lock for the old one, still held
#endif
  ::new (lock) Lock;
}
inline constinit std::atomic<std::uint32_t> forks_before{0};
}  // namespace detail

/// Makes forks wait for `lock`, so that parent and child both find it free; returns it. For locks that are never
/// destroyed. They are locked one after the other in no particular order, so under none of them another one may be
/// taken.
template <class Lock>
Lock& held_at_fork(Lock& lock) {
  detail::add_lock_at_fork(*new detail::lock_at_fork{&lock, [](void* l) { static_cast<Lock*>(l)->lock(); },
                                                     [](void* l) { static_cast<Lock*>(l)->unlock(); },
                                                     &detail::renew_lock<Lock>});
  return lock;
}

namespace detail {
template <class T>
struct the_only {
  static T& get() {
    (void)&made_early;
    static T& only = make();  // local: initialisers of other files may come first
    return only;
  }
  static T& make() {
    T& made = *new T;
    if constexpr (requires { made.mutex; }) held_at_fork(made.mutex);
    return made;
  }
  static inline const bool made_early = (static_cast<void>(get()), true);
};
}  // namespace detail

/// The one T of this process: made before main; never destroyed, as threads may use it while statics are; its `mutex`,
/// if it has one, held at fork.
template <class T>
T& process_wide() {
  return detail::the_only<T>::get();
}

/// Changes in a forked child: who remembers it knows whether threads it started are still there. Counted from the first
/// use of held_at_fork on.
inline std::uint32_t forks_before_this_process() noexcept {
  return detail::forks_before.load(std::memory_order_relaxed);
}

}  // namespace tutti
