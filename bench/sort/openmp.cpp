// OpenMP: libstdc++'s parallel mode, by multiway mergesort and by balanced quicksort.
#include <parallel/algorithm>

#include "systems.hpp"

namespace bench::sort {

#ifdef _OPENMP

void add_openmp(contenders& to, int threads, bool stable) {
  const auto n = static_cast<__gnu_parallel::_ThreadIndex>(threads);
  if (stable) {
    add(to, "OpenMP multiway", [n](auto& v, auto less) {
      __gnu_parallel::stable_sort(v.begin(), v.end(), less, __gnu_parallel::multiway_mergesort_tag(n));
    });
    return;
  }
  add(to, "OpenMP multiway", [n](auto& v, auto less) {
    __gnu_parallel::sort(v.begin(), v.end(), less, __gnu_parallel::multiway_mergesort_tag(n));
  });
  add(to, "OpenMP quicksort", [n](auto& v, auto less) {
    __gnu_parallel::sort(v.begin(), v.end(), less, __gnu_parallel::balanced_quicksort_tag(n));
  });
}

#else

void add_openmp(contenders&, int, bool) {}

#endif

}  // namespace bench::sort
