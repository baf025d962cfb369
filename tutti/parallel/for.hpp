// for: a loop whose iterations may run on several workers at once.
#pragma once
#include <tutti/parallel/loop.hpp>

namespace tutti {

/// Calls `body(i)` for each i in [first, last), or `body(first, last)` for blocks that make it up; each once, in no
/// particular order, at once where workers are free. Returns when all calls have. Needs no grain size: work is divided
/// when a worker asks for it.
///
/// An exception stops blocks that have not begun, in its part of the range; one of those thrown is thrown again here.
/// On a pool's worker it uses that pool, elsewhere the caller becomes a worker of default_pool() meanwhile. Nests
/// freely. `body` is called from several threads at once.
template <detail::loop_index I, detail::loop_index J, class Body>
void parallel_for(I first, J last, Body&& body) {
  using index = std::common_type_t<I, J>;
  const auto begin = detail::to_index<index>(first), end = detail::to_index<index>(last);
  if (worker* const w = this_worker; w != nullptr) return detail::for_loop<index>(w, begin, end, body, {});
  const guest here;
  detail::for_loop<index>(here.as_worker(), begin, end, body, {});
}

/// The same on a pool: the caller works along, as a guest if it is not one of the pool's workers. Any other
/// local_executor than a thread_pool runs the loop serially on the caller.
template <detail::loop_index I, detail::loop_index J, class Body>
void parallel_for(local_executor& pool, I first, J last, Body&& body) {
  using index = std::common_type_t<I, J>;
  const guest here(pool);
  detail::for_loop<index>(here.as_worker(), detail::to_index<index>(first), detail::to_index<index>(last), body, {});
}

}  // namespace tutti
