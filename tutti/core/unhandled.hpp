// unhandled: where exceptions go that nobody can be given.
#pragma once
#include <cstdint>
#include <exception>

namespace tutti {

/// Where an exception came from that no future can deliver.
enum class unhandled_origin : std::uint8_t {
  dropped_future,  ///< a future was destroyed without anybody looking at its error
  post,            ///< thrown by a posted function
  callback,        ///< thrown by an on_done callback or a timer
  sibling,         ///< of a task in a group, when_all or the like, which gave the end of another one
};

/// Gets every such exception, and the name of the task or callback, as `dump` shows it, which is there during the call.
/// Called on the thread where it came to light; must not throw.
using unhandled_handler = void (*)(const std::exception_ptr& error, const char* task, unhandled_origin origin) noexcept;

/// Replaces the handler for the whole program and returns the one before; null restores the default, which logs an
/// error, and for `post` then calls std::terminate. Thread-safe.
unhandled_handler on_unhandled(unhandled_handler handler) noexcept;

/// Hands an exception to the handler. `cancelled` is dropped: it is never unhandled.
void report_unhandled(const std::exception_ptr& error, const char* task, unhandled_origin origin) noexcept;

}  // namespace tutti
