// reduce: a loop that folds its iterations into one value.
#pragma once
#include <tutti/parallel/loop.hpp>

namespace tutti {

/// Folds `body(i)` for each i in [first, last) with `op`; or, for a `body(first, last)`, what it makes of each block.
/// `op` must be associative, and `identity` its neutral element; it need not be commutative: operands stay in order.
/// How they are grouped depends on the schedule, so floating-point sums may differ in the last bits from run to run.
/// Otherwise as parallel_for.
template <detail::loop_index I, detail::loop_index J, class T, class Body, class Op>
T parallel_reduce(I first, J last, T identity, Body&& body, Op&& op) {
  using index = std::common_type_t<I, J>;
  const auto begin = detail::to_index<index>(first), end = detail::to_index<index>(last);
  if (worker* const w = this_worker; w != nullptr) {
    return detail::reduce_loop<index, T>(w, begin, end, identity, body, op, {});
  }
  const guest here;
  return detail::reduce_loop<index, T>(here.as_worker(), begin, end, identity, body, op, {});
}

/// The same on a pool; see parallel_for.
template <detail::loop_index I, detail::loop_index J, class T, class Body, class Op>
T parallel_reduce(local_executor& pool, I first, J last, T identity, Body&& body, Op&& op) {
  using index = std::common_type_t<I, J>;
  const guest here(pool);
  return detail::reduce_loop<index, T>(here.as_worker(), detail::to_index<index>(first), detail::to_index<index>(last),
                                       identity, body, op, {});
}

}  // namespace tutti
