// sleep_hook: what a thread has in hand while it calls callbacks, and what others may need.
#pragma once

namespace tutti::detail {

/// Null, or called before a callback on this thread sleeps, beside what is done with the callbacks behind it: to give
/// up what only this thread could go on with. Runs no foreign code, and takes at most as long as starting a thread.
using callbacks_sleep_hook = void (*)() noexcept;
inline constinit thread_local callbacks_sleep_hook before_callbacks_sleep = nullptr;

}  // namespace tutti::detail
