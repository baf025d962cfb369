// file: files, read and written without blocking the loop.
#pragma once
#include <tutti/io/buffers.hpp>
#include <tutti/io/io_wait.hpp>
#include <tutti/io/stream.hpp>
#include <tutti/task/task.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace tutti::io {

/// What a file is opened for.
enum class file_mode : std::uint8_t {
  read,    ///< to be read; it must exist
  write,   ///< to be written from its beginning; made, or emptied
  append,  ///< to be written at its end, also by others at the same time; made if it is not there
  update,  ///< to be read and written; made if it is not there
  create,  ///< to be read and written; it must not exist
};

/// An open file. The system has no way to wait for a disk but to block, so calls run on a few helper threads of this
/// module. A call owns its memory, into or out of which bytes are copied: so who gives up, at `limit` or because the
/// task is to stop, does so at once, however long the disk takes, and the call is left to itself. A read then has no
/// effect. A write has none if it had not begun; otherwise it happens, at some time, in part or whole, and before any
/// later call of this object; another one, of the same file even, does not wait for it.
///
/// read_at, write_at, size, truncate and sync may be used by several coroutines at once; what uses the position
/// (read_some, read_line, write, seek) by one at a time, a second one gets std::logic_error. Any executor will do.
///
/// All waits throw os_error, which names the file; `cancelled`, timed_out, `closed` without an open file. Move-only;
/// destroying it closes it, soon.
class file {
 public:
  struct state;  ///< for this module

  /// None.
  file() noexcept = default;
  file(file&& other) noexcept = default;
  file& operator=(file&& other) noexcept = default;
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  ~file() = default;

  /// Opens a file; a new one gets the permissions that the umask leaves of `permissions`. Throws os_error: ENOENT,
  /// EACCES, EEXIST, EISDIR, ...; EPERM for a pipe, a socket or a terminal, which io::stream is for.
  [[nodiscard]] static task<file> open(std::filesystem::path path, file_mode mode = file_mode::read,
                                       time_limit limit = no_limit, int permissions = 0666);

  /// Awaits as many bytes as `room` has, from `offset` on, and gives their number: less at the end only.
  [[nodiscard]] task<std::size_t> read_at(mutable_buffer room, std::uint64_t offset, time_limit limit = no_limit) const;
  /// Awaits until the system has taken all bytes, for `offset` and what follows; the file grows if need be. Throws
  /// std::logic_error when it was opened to append.
  [[nodiscard]] task<> write_at(const_buffer bytes, std::uint64_t offset, time_limit limit = no_limit) const;

  /// Awaits bytes, at least one, from the position on, which they move; 0 at the end, or without room.
  [[nodiscard]] task<std::size_t> read_some(mutable_buffer room, time_limit limit = no_limit) const;
  /// Awaits a line and gives it without its "\n" or "\r\n"; the last one may have none. Nothing at the end. Throws
  /// too_long when it has more than `most` bytes, its end included; the position has not moved then.
  [[nodiscard]] task<std::optional<std::string>> read_line(std::size_t most = 65536, time_limit limit = no_limit) const;
  /// Awaits until the system has taken all bytes, at the position, which they move, or at the end, when it was opened
  /// to append.
  [[nodiscard]] task<> write(const_buffer bytes, time_limit limit = no_limit) const;
  /// Where read_some, read_line and write go on.
  [[nodiscard]] std::uint64_t position() const;
  /// Moves that.
  void seek(std::uint64_t position) const;

  /// Awaits the number of bytes in the file.
  [[nodiscard]] task<std::uint64_t> size(time_limit limit = no_limit) const;
  /// Cuts the file off at `size` bytes, or fills it up with zeros.
  [[nodiscard]] task<> truncate(std::uint64_t size, time_limit limit = no_limit) const;
  /// Awaits until all that was written is on the disk.
  [[nodiscard]] task<> sync(time_limit limit = no_limit) const;
  /// Closes it, and throws what the system says of earlier writes only then. It is none from the call on. Throws
  /// std::logic_error while another call of it is under way, at whose end it is closed.
  [[nodiscard]] task<> close(time_limit limit = no_limit);

  /// Whether there is one.
  [[nodiscard]] explicit operator bool() const noexcept { return state_ != nullptr; }
  /// For the system's calls, such as flock; still owned. -1 when there is none.
  [[nodiscard]] int descriptor() const noexcept;

 private:
  explicit file(std::shared_ptr<state> s) noexcept : state_(std::move(s)) {}
  const std::shared_ptr<state>& opened() const;

  std::shared_ptr<state> state_;
};

/// All of a file. Throws too_long when it has more than `most` bytes, before memory for them is taken; else as file.
[[nodiscard]] task<std::string> read_file(std::filesystem::path path, std::size_t most, time_limit limit = no_limit);

/// How to replace a file. Trivially destructible (see stop_ref).
struct write_file_options {
  int permissions = 0666;  ///< of a new file, less the umask; a file that was there keeps its own
  bool sync = true;        ///< on the disk when this returns: old or new also after a power cut
  time_limit limit = no_limit;
};

/// Makes `content` all of a file, in one step: others see the old content or the new, whatever happens here, and the
/// old when this throws os_error, unless that says that the folder could not be synced. It is written beside it first,
/// into ".NAME.new-...", which a killed program leaves behind. Who gives up does not know which of the two it will be.
/// A symbolic link stays, and what it leads to is replaced. A file that was there keeps its owner, group and
/// permissions, not its access list; os_error where it cannot be given to that owner: then nothing happens.
[[nodiscard]] task<> write_file(std::filesystem::path path, std::string content, write_file_options options = {});

}  // namespace tutti::io
