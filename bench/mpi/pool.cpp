// rank_pool: rank 0 submits, rank 1 computes.
#include <tutti/mpi/rank_pool.hpp>

#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include "systems.hpp"

namespace bench::mpi {

/// What the other rank runs.
namespace calls {
void nothing() {}
int same(int i) { return i; }
}  // namespace calls

namespace {

double tasks(tutti::mpi::rank_pool& pool, std::string_view what, std::size_t count) {
  const double start = now_ns();
  if (what == "each") {
    std::vector<tutti::future<void>> results;
    results.reserve(count);
    for (std::size_t i = 0; i < count; ++i) results.push_back(pool.submit<calls::nothing>());
    for (auto& r : results) r.get();
  } else if (what == "trip") {
    for (std::size_t i = 0; i < count; ++i) pool.submit<calls::nothing>().get();
  } else {
    int next = 0;
    const std::size_t chunk = what == "chunks" ? 0 : 1;
    for (const int i : pool.map<calls::same>(std::views::iota(0, static_cast<int>(count)), {.chunk = chunk})) {
      if (i != next++) throw std::runtime_error("map lost something");
    }
  }
  return now_ns() - start;
}

}  // namespace

double pool_figure(std::string_view what, std::size_t count) {
  tutti::mpi::rank_pool pool;
  if (!pool.is_caller()) return 0;
  tasks(pool, what, count / 8 + 1);
  const double ns = tasks(pool, what, count);
  pool.shutdown();
  return what == "trip" ? ns * 1e-3 / static_cast<double>(count) : static_cast<double>(count) * 1e9 / ns;
}

}  // namespace bench::mpi
