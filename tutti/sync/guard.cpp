#include <tutti/sync/guard.hpp>

#include <tutti/base/error.hpp>

#include <algorithm>
#include <functional>
#include <numeric>

namespace tutti::detail {

void sort_locks(const void* const* addresses, std::size_t* order, std::size_t n, const char* what, const place& here) {
  const auto address = [&](std::size_t i) { return addresses[i]; };
  std::iota(order, order + n, std::size_t{0});
  std::ranges::sort(order, order + n, std::less<>(), address);
  if (std::ranges::adjacent_find(order, order + n, {}, address) == order + n) return;
  throw deadlock(std::string(what) + " at " + to_string(here) +
                 " was given the same lock twice and would wait for itself; name each once");
}

}  // namespace tutti::detail
