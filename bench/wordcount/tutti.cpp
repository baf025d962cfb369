// tutti: the counter of the command line's demo, serially and on a pool.
#include <apps/tutti/count_words.hpp>
#include <tutti/core/thread_pool.hpp>

#include "systems.hpp"

namespace bench::wordcount {

namespace {

tutti::app::text_files as_texts(const std::vector<file>& files) {
  tutti::app::text_files all;
  for (const file& f : files) {
    all.files.push_back({f.path, f.size});
    all.bytes += f.size;
  }
  return all;
}

totals totals_of(const tutti::app::text_counter& counter) {
  return {counter.words().total(), counter.words().distinct()};
}

}  // namespace

totals count_tutti(const std::vector<file>& files, int threads) {
  tutti::thread_pool pool(threads);
  return totals_of(count_on(pool, as_texts(files)));
}

totals count_tutti_serially(const std::vector<file>& files) { return totals_of(count_serially(as_texts(files))); }

}  // namespace bench::wordcount
