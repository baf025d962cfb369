#include <tutti/sync/shared_mutex.hpp>

#include <tutti/sync/async_lock_impl.hpp>

namespace tutti {

static_assert(sizeof(shared_mutex) <= 64, "a shared_mutex fits into a cache line");

template class async_lock_guard<shared_mutex>;
template class detail::lock_wait<shared_mutex>;

}  // namespace tutti
