#include <tutti/sync/async_guards.hpp>

#include <tutti/base/error.hpp>

#include <algorithm>

namespace tutti::detail {

void lock_each_wait::set(std::span<mutex*> locks) {
  std::ranges::sort(locks, std::less<>());
  if (std::ranges::adjacent_find(locks) != locks.end()) {
    throw deadlock("lock_async at " + to_string(here_) +
                   " was given the same lock twice and would wait for itself; name each once");
  }
  locks_ = locks;
}

exclusive_lock& lock_each_wait::current() noexcept { return lock_access::core(*locks_[got_]); }

bool lock_each_wait::await_ready() {
  party_ = wait_graph::self();
  me_ = self_word() | by_guard;
  entry_.context = as_context(me_);
  for (mutex* const one : locks_) lock_access::core(*one).refuse_relock(me_, "lock_async", here_);
  return try_rest();
}

void lock_each_wait::got_it() noexcept {
  if (wait_observer* const observer = wait_graph::observer(); observer != nullptr) [[unlikely]]
    observer->holds(party_, current().target(), here_, true);
  ++got_;
  tried_ = false;
  entry_.losses = 0;
}

bool lock_each_wait::try_rest() noexcept {
  while (got_ != locks_.size() && current().try_take(me_)) got_it();
  return got_ == locks_.size();
}

bool lock_each_wait::arm() noexcept {
  while (!try_rest()) {
    target_ = current().target();
    const auto ready = [this] { return current().take_or_queue(me_, std::exchange(tried_, true)); };
    if (current().waiters().add_unless(entry_, ready)) return false;
    got_it();
  }
  return true;
}

void lock_each_wait::disarm() noexcept { current().waiters().remove(entry_); }

bool lock_each_wait::woken(std::uint32_t outcome) noexcept {
  if (outcome != wait_ticket::granted && !current().take_or_queue(me_, true)) {
    ++entry_.losses;
    return false;
  }
  got_it();
  return try_rest();
}

void lock_each_wait::finish_all() {
  try {
    finish();
  } catch (...) {
    current().left(me_);
    while (got_ != 0) {
      --got_;
      if (wait_observer* const observer = wait_graph::observer(); observer != nullptr) [[unlikely]]
        observer->releases(party_.id, current().target().resource);
      current().unlock_guarded(me_);
    }
    throw;
  }
}

}  // namespace tutti::detail
