// Boost.Sort: block_indirect_sort and parallel_stable_sort, which start threads of their own for each sort.
#include <boost/sort/block_indirect_sort/block_indirect_sort.hpp>
#include <boost/sort/parallel_stable_sort/parallel_stable_sort.hpp>

#include "systems.hpp"

namespace bench::sort {

void add_boost(contenders& to, int threads, bool stable) {
  const auto n = static_cast<std::uint32_t>(threads);
  if (stable) {
    add(to, "Boost parallel stable",
        [n](auto& v, auto less) { boost::sort::parallel_stable_sort(v.begin(), v.end(), less, n); });
  } else {
    add(to, "Boost block indirect",
        [n](auto& v, auto less) { boost::sort::block_indirect_sort(v.begin(), v.end(), less, n); });
  }
}

}  // namespace bench::sort
