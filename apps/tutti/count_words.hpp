// count_words: the words of many files, serially or on an executor.
#pragma once
#include <apps/tutti/text_files.hpp>

#include <atomic>
#include <cstdint>

namespace tutti {
class executor;
}

namespace tutti::app {

/// Counts the words of all files in a plain loop. Adds the bytes to `*progress`, if any, as they are read.
text_counter count_serially(const text_files& all, std::atomic<std::uint64_t>* progress = nullptr);

/// The same on `where`: one table per worker, merged at the end, where it shares our memory; else a table comes back
/// with each unit of work. Throws what an executor throws when it fails.
text_counter count_on(executor& where, const text_files& all, std::atomic<std::uint64_t>* progress = nullptr);

}  // namespace tutti::app
