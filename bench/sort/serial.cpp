// serial: the standard library's sorts on the calling thread; and Boost's best stable one.
#include <algorithm>
#include <boost/sort/spinsort/spinsort.hpp>

#include "systems.hpp"

namespace bench::sort {

void add_serial(contenders& to, bool stable) {
  if (stable) {
    add(to, "std::stable_sort", [](auto& v, auto less) { std::stable_sort(v.begin(), v.end(), less); });
    add(to, "Boost spinsort", [](auto& v, auto less) { boost::sort::spinsort(v.begin(), v.end(), less); });
  } else {
    add(to, "std::sort", [](auto& v, auto less) { std::sort(v.begin(), v.end(), less); });
  }
}

}  // namespace bench::sort
