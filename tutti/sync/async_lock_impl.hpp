// async_lock_impl: the parts of async_lock.hpp that are compiled once for each kind of mutex, in its own file.
#pragma once
#include <tutti/base/error.hpp>
#include <tutti/core/last_look.hpp>
#include <tutti/sync/async_lock.hpp>

namespace tutti {

// ---------------------------------------------------------------- the guard

template <class Mutex>
void async_lock_guard<Mutex>::take_over(Mutex& taken, detail::lock_word owner, const void* told) noexcept {
  mutex_ = &taken;
  owner_ = owner;
  kind_ = owner & 7;
  told_ = told;
}

// Guards move between tasks, and nobody is told where to. Observers learn that the holder is not known any more: first
// of the new one, so that at every moment somebody holds it.
template <class Mutex>
void async_lock_guard<Mutex>::take_over(async_lock_guard& other) noexcept {
  mutex_ = std::exchange(other.mutex_, nullptr);
  owner_ = std::exchange(other.owner_, 0);
  kind_ = other.kind_;
  told_ = std::exchange(other.told_, nullptr);
  if (told_ == nullptr) return;
  if (wait_observer* const observer = wait_graph::observer(); observer != nullptr) [[unlikely]] {
    const wait_target held = detail::lock_access::core(*mutex_).target(kind_);
    observer->holds({}, held, {}, true);
    observer->releases(told_, held.resource);
  }
  told_ = nullptr;
}

template <class Mutex>
void async_lock_guard<Mutex>::release() noexcept {
  auto& lock = detail::lock_access::core(*mutex_);
  if (wait_observer* const observer = wait_graph::observer(); observer != nullptr) [[unlikely]]
    observer->releases(told_, lock.target().resource);
  told_ = nullptr;
  lock.unlock_guarded(std::exchange(owner_, 0));
}

template <class Mutex>
void async_lock_guard<Mutex>::unlock() {
  if (owner_ == 0) {
    const std::string of =
        mutex_ == nullptr
            ? std::string("an empty async_lock_guard")
            : "the async_lock_guard of " +
                  detail::primitive_text(detail::lock_access::core(*mutex_).words(kind_).kind, mutex_->name());
    throw not_owner(of + " was unlocked, but it owns no lock");
  }
  release();
}

// ---------------------------------------------------------------- awaiting it

namespace detail {

template <class Mutex>
lock_wait<Mutex>::lock_wait(Mutex& wanted, lock_word flags, const char* what, const place& here,
                            std::optional<std::chrono::nanoseconds> limit)
    : list_wait(lock_access::core(wanted).waiters(), what, here,
                limit == std::chrono::nanoseconds::max() ? std::nullopt : limit, &target_),
      mutex_(wanted),
      here_(here),
      only_try_(limit && *limit <= limit->zero()),
      me_(flags),
      target_(lock_access::core(wanted).target(flags)) {}

// The task is known only now: the awaiter may have been made elsewhere.
template <class Mutex>
bool lock_wait<Mutex>::await_ready() {
  auto& lock = lock_access::core(mutex_);
  me_ |= self_word();
  entry().context = as_context(me_);
  taken_ = lock.try_take(me_);
  if (!taken_ && !only_try_) lock.refuse_relock(me_, what(), here_);
  return taken_ || only_try_;
}

template <class Mutex>
bool lock_wait<Mutex>::ready() noexcept {
  return lock_access::core(mutex_).take_or_queue(me_, std::exchange(tried_, true));
}

template <class Mutex>
void lock_wait<Mutex>::finish_into(async_lock_guard<Mutex>& guard) {
  auto& lock = lock_access::core(mutex_);
  if (!taken_ && !only_try_) {
    try {
      taken_ = finish() == wait_result::ready;
    } catch (...) {
      lock.left(me_);
      throw;
    }
    if (!taken_) lock.left(me_);
  }
  if (!taken_) return;
  guard.take_over(mutex_, me_, wait_graph::self_id());
  wait_graph::holds(target_, here_, !only_try_);
}

}  // namespace detail
}  // namespace tutti
