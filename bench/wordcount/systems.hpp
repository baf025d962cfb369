// systems: the word counters of the benchmark. All read the same files, which lie in the page cache.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bench::wordcount {

struct file {
  std::string path;
  std::uint64_t size;
};

/// What a counter found: enough to see that it did the whole work.
struct totals {
  std::uint64_t words = 0;
  std::uint64_t distinct = 0;
};

/// tutti's counter on a pool of `threads`, which is made and ended within the call.
totals count_tutti(const std::vector<file>& files, int threads);

/// tutti's counter in a plain loop on this thread.
totals count_tutti_serially(const std::vector<file>& files);

/// What one writes without a library: a table of classes, std::unordered_map, std::thread and an atomic index.
totals count_plain(const std::vector<file>& files, int threads);

}  // namespace bench::wordcount
