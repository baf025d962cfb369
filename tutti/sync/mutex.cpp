#include <tutti/sync/mutex.hpp>

#include <tutti/sync/async_lock_impl.hpp>

namespace tutti {

static_assert(sizeof(mutex) <= 64, "a mutex and a few words beside it share a cache line");

void detail::check_relock(bool has_mutex, bool owns, const place& here) {
  if (!has_mutex) throw not_owner("relock_async at " + to_string(here) + " of an async_lock_guard without a mutex");
  if (owns) throw deadlock("relock_async at " + to_string(here) + " of an async_lock_guard that owns its lock");
}

template class async_lock_guard<mutex>;
template class detail::lock_wait<mutex>;

}  // namespace tutti
