#include <tutti/base/at_fork.hpp>

#include <pthread.h>

#include <mutex>

namespace tutti::detail {
namespace {

constinit std::atomic<lock_at_fork*> all_locks{nullptr};  // only grows
constinit lock_at_fork* held = nullptr;                   // the head when this fork began; under one_fork
std::mutex& one_fork() {
  static auto& lock = *new std::mutex;
  return lock;
}

void hold_all() {
  one_fork().lock();
  held = all_locks.load(std::memory_order_acquire);
  for (lock_at_fork* entry = held; entry != nullptr; entry = entry->next) entry->acquire(entry->lock);
}

void release_all() {
  for (lock_at_fork* entry = held; entry != nullptr; entry = entry->next) entry->release(entry->lock);
  one_fork().unlock();
}

void renew_all() {
  forks_before.fetch_add(1, std::memory_order_relaxed);
  for (lock_at_fork* entry = held; entry != nullptr; entry = entry->next) entry->renew(entry->lock);
  renew_lock<std::mutex>(&one_fork());
}

}  // namespace

void add_lock_at_fork(lock_at_fork& entry) noexcept {
  static const bool once = [] {
    static_cast<void>(one_fork());
    ::pthread_atfork(hold_all, release_all, renew_all);
    return true;
  }();
  static_cast<void>(once);
  entry.next = all_locks.load(std::memory_order_relaxed);
  // release: whoever finds the entry finds it whole.
  while (!all_locks.compare_exchange_weak(entry.next, &entry, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

}  // namespace tutti::detail
