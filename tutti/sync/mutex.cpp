#include <tutti/sync/mutex.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/last_look.hpp>

namespace tutti {

using detail::exclusive_lock;

constinit const detail::lock_words mutex::words{"mutex", "mutex::lock", "mutex::lock_for", "lock_async()"};

// ---------------------------------------------------------------- the guard

mutex::async_guard::async_guard(async_guard&& other) noexcept { take_over(other); }

mutex::async_guard& mutex::async_guard::operator=(async_guard&& other) noexcept {
  if (this == &other) return *this;
  if (owner_ != 0) release();
  take_over(other);
  return *this;
}

void mutex::async_guard::take_over(tutti::mutex& taken, exclusive_lock::word owner, const place& here) noexcept {
  mutex_ = &taken;
  owner_ = owner;
  told_ = wait_graph::self_id();
  wait_graph::holds(taken.lock_.target(), here);
}

// Guards move between tasks, and nobody is told where to. Observers learn that the holder is not known any more: first
// of the new one, so that at every moment somebody holds it.
void mutex::async_guard::take_over(async_guard& other) noexcept {
  mutex_ = std::exchange(other.mutex_, nullptr);
  owner_ = std::exchange(other.owner_, 0);
  told_ = std::exchange(other.told_, nullptr);
  if (told_ == nullptr) return;
  if (wait_observer* const observer = wait_graph::observer(); observer != nullptr) [[unlikely]] {
    observer->holds({}, mutex_->lock_.target(), {}, true);
    observer->releases(told_, &mutex_->lock_);
  }
  told_ = nullptr;
}

void mutex::async_guard::release() noexcept {
  if (wait_observer* const observer = wait_graph::observer(); observer != nullptr) [[unlikely]]
    observer->releases(told_, &mutex_->lock_);
  told_ = nullptr;
  mutex_->lock_.unlock_guarded(std::exchange(owner_, 0));
}

void mutex::async_guard::unlock() {
  if (owner_ == 0) {
    throw not_owner((mutex_ == nullptr ? std::string("an empty async_guard")
                                       : detail::primitive_text("mutex", mutex_->name()) + ": its async_guard") +
                    " was unlocked, which owns no lock");
  }
  release();
}

mutex::relock_wait mutex::async_guard::relock_async(place here) {
  if (mutex_ == nullptr) throw not_owner("relock_async at " + to_string(here) + " of an async_guard without a mutex");
  return {*this, *mutex_, here};
}

// ---------------------------------------------------------------- awaiting it

mutex::lock_wait::lock_wait(mutex& wanted, const char* what, const place& here,
                            std::optional<std::chrono::nanoseconds> limit)
    : list_wait(wanted.lock_.waiters(), what, here, limit, &target_),
      lock_(wanted.lock_),
      mutex_(wanted),
      what_(what),
      here_(here),
      only_try_(limit && *limit <= limit->zero()),
      target_(lock_.target()) {}

// The task is known only now: the awaiter may have been made elsewhere.
bool mutex::lock_wait::await_ready() {
  me_ = exclusive_lock::self() | exclusive_lock::by_guard;
  entry().context = exclusive_lock::as_context(me_);
  taken_ = lock_.try_take(me_);
  if (!taken_ && !only_try_) lock_.refuse_relock(what_, here_);
  return taken_ || only_try_;
}

bool mutex::lock_wait::ready() noexcept { return lock_.take_or_queue(me_, std::exchange(tried_, true)); }

void mutex::lock_wait::finish_into(async_guard& guard) {
  if (!taken_) taken_ = !only_try_ && finish() == wait_result::ready;
  if (taken_) guard.take_over(mutex_, me_, here_);
}

mutex::async_guard mutex::lock_wait::await_resume() {
  async_guard guard;
  finish_into(guard);
  return guard;
}

mutex::relock_wait::relock_wait(async_guard& guard, mutex& wanted, const place& here)
    : lock_wait(wanted, "async_guard::relock_async", here), guard_(guard) {}

}  // namespace tutti
