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
};

/// Gets every such exception. Called on the thread where it came to light; must not throw.
using unhandled_handler = void (*)(const std::exception_ptr& error, const char* task, unhandled_origin origin) noexcept;

/// Replaces the handler for the whole program and returns the one before; null restores the default, which logs an
/// error for dropped futures and callbacks, and logs and calls std::terminate for `post`. Thread-safe.
unhandled_handler on_unhandled(unhandled_handler handler) noexcept;

/// Hands an exception to the handler. `cancelled` is dropped: it is never unhandled.
void report_unhandled(const std::exception_ptr& error, const char* task, unhandled_origin origin) noexcept;

}  // namespace tutti
