// report: how the demo shows what it found, for people.
#pragma once
#include <apps/tutti/text_files.hpp>

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace tutti::app {

/// One row of the demo's table.
struct run_row {
  std::string where = {};  ///< "serial" or the executor's spec
  int workers = 1;
  double seconds = 0;        ///< the fastest run
  std::uint64_t bytes = 0;   ///< of text
  std::uint64_t memory = 0;  ///< the most it added to the process, bytes
  bool agrees = true;        ///< with the serial counts
  std::string failure = {};  ///< what it threw; the figures are void then
};

/// 12345678 as "12,345,678".
std::string grouped(std::uint64_t n);

/// Bytes as "457.2 MB" (10^6).
std::string megabytes(std::uint64_t bytes);

/// How many files there are, and why some were skipped.
void write_files(std::ostream& out, const text_files& all, const reading& read);

/// The table, compared with `rows.front()`, the serial run.
void write_runs(std::ostream& out, const std::vector<run_row>& rows);

/// The `n` commonest words in columns.
void write_commonest(std::ostream& out, const word_table& words, std::size_t n);

}  // namespace tutti::app
