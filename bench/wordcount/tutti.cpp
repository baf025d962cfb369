// tutti: the counter of the command line's demo, its units of work shared by parallel_for over a pool.
#include <apps/tutti/text_files.hpp>
#include <tutti/core/per_worker.hpp>
#include <tutti/core/thread_pool.hpp>
#include <tutti/parallel/parallel_for.hpp>

#include "systems.hpp"

namespace bench::wordcount {

namespace {

std::vector<tutti::app::text_unit> units_of(const std::vector<file>& files) {
  tutti::app::text_files all;
  for (const file& f : files) {
    all.files.push_back({f.path, f.size});
    all.bytes += f.size;
  }
  return divide(all, std::uint64_t{1} << 20);
}

totals totals_of(const tutti::app::text_counter& counter) {
  return {counter.words().total(), counter.words().distinct()};
}

}  // namespace

totals count_tutti(const std::vector<file>& files, int threads) {
  tutti::thread_pool pool(threads);
  std::vector<tutti::app::text_unit> units = units_of(files);
  tutti::per_worker<tutti::app::text_counter> counters;
  tutti::parallel_for(pool, std::size_t{0}, units.size(), [&](std::size_t i) { counters.local().count(units[i]); });
  tutti::app::text_counter all;
  bool first = true;
  counters.for_each([&](tutti::app::text_counter& one) {
    if (first) {
      all = std::move(one);
    } else {
      all.merge(one);
    }
    first = false;
  });
  return totals_of(all);
}

totals count_tutti_serially(const std::vector<file>& files) {
  tutti::app::text_counter counter;
  for (const tutti::app::text_unit& unit : units_of(files)) counter.count(unit);
  return totals_of(counter);
}

}  // namespace bench::wordcount
