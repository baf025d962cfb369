// text_files: the files below a path, divided into pieces of work of about one size, and the counting of one piece.
#pragma once
#include <apps/tutti/word_count.hpp>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace tutti::app {

struct text_file {
  std::string path;
  std::uint64_t size = 0;  ///< when it was listed
};

struct text_files {
  std::vector<text_file> files;
  std::uint64_t bytes = 0;
  std::uint64_t closed_directories = 0;  ///< could not be listed
};

/// Adds all regular files below `root` (which may be a file) to `all`. Follows no symbolic link but `root` itself, so
/// that nothing is listed twice. Throws std::filesystem::filesystem_error when `root` cannot be looked at; below it,
/// what cannot be is counted.
void list_files(const std::filesystem::path& root, text_files& all);

/// The words of the file `path` that begin at an offset in [first, end).
struct text_piece {
  std::string path;
  std::uint64_t first = 0;
  std::uint64_t end = word_counter::no_end;
};

/// One task: small files together, or a part of a big one.
using text_unit = std::vector<text_piece>;

/// Divides all files into units of about `unit_bytes` (> 0); opening a file counts as reading 16 KiB.
std::vector<text_unit> divide(const text_files& all, std::uint64_t unit_bytes);

/// What became of the files of some pieces. A file in several pieces counts once, with its first.
struct reading {
  std::uint64_t bytes = 0;       ///< of text
  std::uint64_t files = 0;       ///< counted, at least in part
  std::uint64_t binary = 0;      ///< skipped: NUL in the first 8 KiB
  std::uint64_t unreadable = 0;  ///< skipped, or given up at a read error

  reading& operator+=(const reading& other) noexcept;
  friend bool operator==(const reading&, const reading&) = default;
};

/// Counts pieces; one per worker. Never throws for what it finds on disk: files that vanish, shrink or fail are normal.
class text_counter {
 public:
  text_counter();

  /// Counts one piece, adding the bytes as they are read to `*progress` if there is one. Blocks on the disk.
  void count(const text_piece& piece, std::atomic<std::uint64_t>* progress = nullptr);
  void count(const text_unit& unit, std::atomic<std::uint64_t>* progress = nullptr);

  /// Adds what another counter counted.
  void merge(const text_counter& other);

  const word_table& words() const noexcept { return words_.table(); }
  word_table& words() noexcept { return words_.table(); }
  reading files;  ///< what was read so far

 private:
  word_counter words_;
  std::unique_ptr<char[]> buffer_;
};

/// What counting a unit elsewhere sends back.
struct unit_counts {
  reading files;
  std::string words;  ///< word_table::to_bytes
};

/// Counts one unit: the function that executors without shared memory run.
unit_counts count_unit(const text_unit& unit);

}  // namespace tutti::app
