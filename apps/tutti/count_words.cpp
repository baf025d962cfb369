#include <apps/tutti/count_words.hpp>

#include <tutti/core/executor.hpp>
#include <tutti/core/local_executor.hpp>
#include <tutti/core/per_worker.hpp>

#include <algorithm>
#include <utility>

namespace tutti::app {
namespace {

// With shared memory a unit costs a task, so they are small: the last ones, which do not fill all workers, take little.
constexpr std::uint64_t local_unit = std::uint64_t{1} << 20;

// Without, each unit sends a table back, which is smaller than its text only if the text is large.
std::uint64_t portable_unit(const text_files& all, int workers) {
  constexpr std::uint64_t units_per_worker = 8;
  const std::uint64_t even = all.bytes / (units_per_worker * static_cast<std::uint64_t>(std::max(workers, 1)));
  return std::clamp(even, std::uint64_t{1} << 20, std::uint64_t{32} << 20);
}

text_counter count_locally(local_executor& where, const text_files& all, std::atomic<std::uint64_t>* progress) {
  const std::vector<text_unit> units = divide(all, local_unit);
  per_worker<text_counter> counters;
  // One wait for all: a reader that wakes for each unit would take its time from the workers.
  where.submit_bulk(units, [&](const text_unit& unit) { counters.local().count(unit, progress); }, {.chunk = 1}).get();
  text_counter sum;
  counters.for_each([&](text_counter& counter) {
    // The first, the largest usually, becomes the sum.
    if (sum.words().distinct() < counter.words().distinct()) std::swap(sum, counter);
    sum.merge(counter);
  });
  return sum;
}

text_counter count_anywhere(executor& where, const text_files& all, std::atomic<std::uint64_t>* progress) {
  const std::vector<text_unit> units = divide(all, portable_unit(all, where.concurrency()));
  text_counter sum;
  for (const auto& [index, counts] : where.map_unordered<count_unit>(units, {.chunk = 1})) {
    sum.words().merge_bytes(counts.words);
    sum.files += counts.files;
    if (progress != nullptr) progress->fetch_add(counts.files.bytes, std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace

text_counter count_serially(const text_files& all, std::atomic<std::uint64_t>* progress) {
  text_counter counter;
  for (const text_file& file : all.files) counter.count(text_piece{file.path}, progress);
  return counter;
}

text_counter count_on(executor& where, const text_files& all, std::atomic<std::uint64_t>* progress) {
  if (auto* local = dynamic_cast<local_executor*>(&where)) return count_locally(*local, all, progress);
  return count_anywhere(where, all, progress);
}

}  // namespace tutti::app
