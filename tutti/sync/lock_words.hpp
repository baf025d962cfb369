// lock_words: what all kinds of locks share: who an owner is, as a number, and how a kind is called.
#pragma once
#include <tutti/core/wait_graph.hpp>

#include <cstdint>
#include <string>

namespace tutti::detail {

/// An owner, by itself and with flags: a party's id is a multiple of 8.
using lock_word = std::uintptr_t;
/// An async_guard owns it, whoever holds the guard.
inline constexpr lock_word by_guard = 4;

/// The task that runs on this thread, or the thread outside tasks.
inline lock_word self_word() noexcept { return reinterpret_cast<lock_word>(wait_graph::self_id()); }
/// The same for errors: "this task, parse", or "this thread".
std::string self_text();

inline void* as_context(lock_word owner) noexcept {
  return reinterpret_cast<void*>(owner);  // NOLINT(performance-no-int-to-ptr): a number in a waiter's entry
}

/// Somebody wants to hear who holds and waits.
inline bool observed() noexcept { return wait_graph::observer() != nullptr; }

/// How a way of locking is called in errors, dumps and reports.
struct lock_words {
  const char* kind;       ///< "mutex"
  const char* lock;       ///< "mutex::lock"
  const char* lock_for;   ///< "mutex::lock_for"
  const char* instead;    ///< what to await where it must not block
  const char* async;      ///< "mutex::lock_async"
  const char* for_async;  ///< "mutex::lock_for_async"
};

}  // namespace tutti::detail
