#include <apps/tutti/text_files.hpp>

#include <tutti/base/unique_fd.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace tutti::app {
namespace {

namespace fs = std::filesystem;

// Stays in the second-level cache between being read and being counted.
constexpr std::size_t buffer_bytes = std::size_t{256} << 10;
// Where a NUL makes a file binary.
constexpr std::size_t probe_bytes = std::size_t{8} << 10;
// Read at a time to finish a word that crosses a piece's end.
constexpr std::size_t overrun_bytes = std::size_t{4} << 10;
// Opening a file takes as long as counting about this much.
constexpr std::uint64_t open_cost = std::uint64_t{16} << 10;

// Lists one directory, leaving its subdirectories for later: only one is open at a time, however deep the tree.
void list_directory(const fs::path& directory, text_files& all, std::vector<fs::path>& later) {
  std::error_code failed;
  fs::directory_iterator entry(directory, failed);
  if (failed) {
    ++all.closed_directories;
    return;
  }
  for (; entry != fs::directory_iterator(); entry.increment(failed)) {
    std::error_code ignored;
    const fs::file_type type = entry->symlink_status(ignored).type();
    if (type == fs::file_type::directory) {
      later.push_back(entry->path());
    } else if (type == fs::file_type::regular) {
      const std::uint64_t size = entry->file_size(ignored);
      all.files.push_back({entry->path().string(), ignored ? 0 : size});
      all.bytes += all.files.back().size;
    }
  }
  if (failed) ++all.closed_directories;  // listed in part
}

// As pread, but repeated when a signal interrupts it.
ssize_t read_at(int file, char* into, std::size_t size, std::uint64_t offset) {
  for (;;) {
    const ssize_t got = ::pread(file, into, size, static_cast<off_t>(offset));
    if (got >= 0 || errno != EINTR) return got;
  }
}

}  // namespace

void list_files(const fs::path& root, text_files& all) {
  const fs::file_status status = fs::status(root);
  if (fs::is_directory(status)) {
    const fs::directory_iterator can_be_listed(root);  // throws where the root itself is closed
    std::vector<fs::path> later{root};
    while (!later.empty()) {
      const fs::path directory = std::move(later.back());
      later.pop_back();
      list_directory(directory, all, later);
    }
  } else if (fs::is_regular_file(status)) {
    all.files.push_back({root.string(), fs::file_size(root)});
    all.bytes += all.files.back().size;
  } else {
    const auto code = fs::exists(status) ? std::errc::not_supported : std::errc::no_such_file_or_directory;
    throw fs::filesystem_error("neither a directory nor a file", root, std::make_error_code(code));
  }
}

std::vector<text_unit> divide(const text_files& all, std::uint64_t unit_bytes) {
  std::vector<text_unit> units;
  text_unit small;
  std::uint64_t small_bytes = 0;
  for (const text_file& file : all.files) {
    if (file.size >= 2 * unit_bytes) {
      // The last part has no end: a file that has grown since is counted whole by every executor.
      const std::uint64_t parts = file.size / unit_bytes;
      for (std::uint64_t i = 0; i < parts; ++i) {
        const std::uint64_t end = i + 1 < parts ? (i + 1) * unit_bytes : word_counter::no_end;
        units.push_back({{file.path, i * unit_bytes, end}});
      }
      continue;
    }
    small.push_back({file.path});
    small_bytes += file.size + open_cost;
    if (small_bytes >= unit_bytes) {
      units.push_back(std::exchange(small, {}));
      small_bytes = 0;
    }
  }
  if (!small.empty()) units.push_back(std::move(small));
  return units;
}

reading& reading::operator+=(const reading& other) noexcept {
  bytes += other.bytes;
  files += other.files;
  binary += other.binary;
  unreadable += other.unreadable;
  return *this;
}

text_counter::text_counter() : buffer_(std::make_unique_for_overwrite<char[]>(buffer_bytes)) {}

void text_counter::count(const text_unit& unit, std::atomic<std::uint64_t>* progress) {
  for (const text_piece& piece : unit) count(piece, progress);
}

void text_counter::count(const text_piece& piece, std::atomic<std::uint64_t>* progress) {
  const bool counts_file = piece.first == 0;
  // Not blocking, should the file have become a pipe that nobody writes.
  const unique_fd file(::open(piece.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) {
    files.unreadable += counts_file;
    return;
  }
  if (!counts_file) {
    const ssize_t got = read_at(file.get(), buffer_.get(), probe_bytes, 0);
    if (got > 0 && std::memchr(buffer_.get(), 0, static_cast<std::size_t>(got)) != nullptr) return;
  }
  const std::uint64_t lead_in = std::min(piece.first, word_counter::lead_in);
  std::uint64_t at = piece.first - lead_in;
  words_.begin_text(lead_in, piece.end == word_counter::no_end ? piece.end : piece.end - at);
  while (at < piece.end || !words_.sated()) {
    const std::uint64_t wanted = at < piece.end ? std::min<std::uint64_t>(buffer_bytes, piece.end - at) : overrun_bytes;
    const ssize_t got = read_at(file.get(), buffer_.get(), wanted, at);
    if (got < 0) {
      files.unreadable += counts_file;
      return words_.end_text();  // what was counted so far stays
    }
    if (got == 0) break;
    const auto size = static_cast<std::size_t>(got);
    if (at == 0 && std::memchr(buffer_.get(), 0, std::min(size, probe_bytes)) != nullptr) {
      ++files.binary;
      return;
    }
    words_.feed({buffer_.get(), size});
    const std::uint64_t from = std::max(at, piece.first);
    at += size;
    if (from < piece.end) {
      files.bytes += std::min(at, piece.end) - from;
      if (progress != nullptr) progress->fetch_add(std::min(at, piece.end) - from, std::memory_order_relaxed);
    }
  }
  words_.end_text();
  files.files += counts_file;
}

void text_counter::merge(const text_counter& other) {
  words().merge(other.words());
  files += other.files;
}

unit_counts count_unit(const text_unit& unit) {
  text_counter counter;
  counter.count(unit);
  return {counter.files, counter.words().to_bytes()};
}

}  // namespace tutti::app
