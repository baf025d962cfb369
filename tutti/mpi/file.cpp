#include <tutti/mpi/file.hpp>

#include <tutti/mpi/inside/begun.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/together.hpp>

#include <algorithm>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace tutti::mpi::detail {

struct file_state {
  communicator ranks;
  std::filesystem::path path;
  file_mode mode = file_mode::read;
  MPI_File handle = MPI_FILE_NULL;
  std::uint64_t end = 0;  // of what was appended so far
  int exceptions = std::uncaught_exceptions();

  [[nodiscard]] comm_state& where() const noexcept { return state_of(ranks); }
};

namespace {

std::string text_of(const std::filesystem::path& path) { return ": \"" + path.string() + '"'; }

void check(int code, const file_state& file, const char* call, const place& here) {
  if (code != MPI_SUCCESS) [[unlikely]]
    fail(code, file.where(), call, text_of(file.path), here);
}

void begin(const file_state& file, const char* call, const place& here) {
  enter(file.where(), call, here);
  check_alive(file.where(), call, here);
  if (file.handle == MPI_FILE_NULL)
    throw std::logic_error(std::string("mpi::file::") + call + text_of(file.path) + " was closed");
}

int native_mode(file_mode mode) {
  switch (mode) {
    case file_mode::read: return MPI_MODE_RDONLY;
    case file_mode::write:
    case file_mode::append: return MPI_MODE_WRONLY | MPI_MODE_CREATE;
    case file_mode::update: return MPI_MODE_RDWR | MPI_MODE_CREATE;
    case file_mode::create: return MPI_MODE_RDWR | MPI_MODE_CREATE | MPI_MODE_EXCL;
  }
  return MPI_MODE_RDONLY;
}

// In bytes. Throws when the file cannot be so long.
MPI_Offset bytes_at(const file_state& file, std::uint64_t offset, element of, const char* call, const place& here) {
  const auto most = static_cast<std::uint64_t>(std::numeric_limits<MPI_Offset>::max());
  if (offset <= most / of.size) [[likely]]
    return MPI_Offset{static_cast<std::int64_t>(offset * of.size)};
  refuse(MPI_ERR_ARG, file.where(), call,
         text_of(file.path) + ": offset " + std::to_string(offset) + ", of elements of " + std::to_string(of.size) +
             " bytes, is beyond what files can be",
         here);
}

void check_writes(const file_state& file, const char* call, const place& here) {
  if (file.mode == file_mode::read) {
    refuse(MPI_ERR_READ_ONLY, file.where(), call, text_of(file.path) + ": it was opened to be read", here);
  }
}

void check_placed(const file_state& file, const char* call, const place& here) {
  check_writes(file, call, here);
  if (file.mode == file_mode::append) {
    refuse(MPI_ERR_ACCESS, file.where(), call,
           text_of(file.path) + ": it was opened to append: append_blocks, or open it to update", here);
  }
}

void check_reads(const file_state& file, const char* call, const place& here) {
  if (file.mode == file_mode::write || file.mode == file_mode::append) {
    refuse(MPI_ERR_ACCESS, file.where(), call, text_of(file.path) + ": it was opened to be written only", here);
  }
}

void write_all_bytes(file_state& file, MPI_Offset at, const const_memory& what, const char* call, const place& here) {
  const together waits(file.where(), {.call = call}, here);
  const byte_count length(what.bytes());
  check(MPI_File_write_at_all(file.handle, at, what.data, length.count(), length.type(), MPI_STATUS_IGNORE), file, call,
        here);
}

}  // namespace

file_handle open_file(const communicator& ranks, const std::filesystem::path& path, file_mode mode, const place& here) {
  comm_state& where = state_of(ranks);
  const together waits(where, {.call = "file"}, here);
  file_handle made(new file_state{.ranks = ranks, .path = path, .mode = mode});
  const int code = MPI_File_open(comm_of(where), path.c_str(), native_mode(mode), MPI_INFO_NULL, &made->handle);
  if (code != MPI_SUCCESS) {
    made->handle = MPI_FILE_NULL;
    check(code, *made, "file", here);
  }
  MPI_File_set_errhandler(made->handle, MPI_ERRORS_RETURN);
  if (mode == file_mode::write) check(MPI_File_set_size(made->handle, 0), *made, "file", here);
  return made;
}

void close_file::operator()(file_state* file) const noexcept {
  const std::unique_ptr<file_state> gone(file);
  const comm_state& where = file->where();
  if (where.size == 0 || file->handle == MPI_FILE_NULL) return;
  // The other ranks are not here, and would be waited for in vain.
  if (std::uncaught_exceptions() > file->exceptions) return;
  const watched_call waits("~file", {.by = ended_by::everyone, .where = &where}, {});
  MPI_File_close(&file->handle);
}

void close(file_handle& file, const place& here) {
  begin(*file, "close", here);
  const together waits(file->where(), {.call = "close"}, here);
  const int code = MPI_File_close(&file->handle);
  file->handle = MPI_FILE_NULL;
  check(code, *file, "close", here);
}

const std::filesystem::path& path_of(const file_state& file) noexcept { return file.path; }
const communicator& ranks_of(const file_state& file) noexcept { return file.ranks; }

std::uint64_t size_of(const file_state& file, const place& here) {
  begin(file, "size", here);
  MPI_Offset bytes = 0;
  check(MPI_File_get_size(file.handle, &bytes), file, "size", here);
  return static_cast<std::uint64_t>(bytes);
}

std::uint64_t elements_of(const file_state& file, std::size_t size, const place& here) {
  const std::uint64_t bytes = size_of(file, here);
  if (bytes % size == 0) return bytes / size;
  refuse(MPI_ERR_FILE, file.where(), "read_blocks",
         text_of(file.path) + " has " + std::to_string(bytes) + " bytes, which are no whole number of elements of " +
             std::to_string(size),
         here);
}

void set_size(file_state& file, std::uint64_t bytes, const place& here) {
  begin(file, "set_size", here);
  check_writes(file, "set_size", here);
  const MPI_Offset size = bytes_at(file, bytes, {.size = 1}, "set_size", here);
  const together waits(file.where(), {.call = "set_size"}, here);
  check(MPI_File_set_size(file.handle, size), file, "set_size", here);
  file.end = bytes;
}

void sync(file_state& file, const place& here) {
  begin(file, "sync", here);
  const together waits(file.where(), {.call = "sync"}, here);
  check(MPI_File_sync(file.handle), file, "sync", here);
}

void write_at(file_state& file, std::uint64_t offset, const_memory what, bool all, const place& here) {
  const char* const call = all ? "write_at_all" : "write_at";
  begin(file, call, here);
  check_placed(file, call, here);
  const MPI_Offset at = bytes_at(file, offset, what.of, call, here);
  if (all) return write_all_bytes(file, at, what, call, here);
  const byte_count length(what.bytes());
  check(MPI_File_write_at(file.handle, at, what.data, length.count(), length.type(), MPI_STATUS_IGNORE), file, call,
        here);
}

std::size_t read_at(file_state& file, std::uint64_t offset, memory into, bool all, const place& here) {
  const char* const call = all ? "read_at_all" : "read_at";
  begin(file, call, here);
  check_reads(file, call, here);
  const MPI_Offset at = bytes_at(file, offset, into.of, call, here);
  const byte_count length(into.bytes());
  MPI_Status came{};
  if (all) {
    const together waits(file.where(), {.call = call}, here);
    check(MPI_File_read_at_all(file.handle, at, into.data, length.count(), length.type(), &came), file, call, here);
  } else {
    check(MPI_File_read_at(file.handle, at, into.data, length.count(), length.type(), &came), file, call, here);
  }
  std::uint64_t bytes = std::min<std::uint64_t>(status_of(came).bytes, into.bytes());
  if (all) {
    // Collective reads say that they have read what is not there: in ROMIO as in Open MPI's own.
    const auto from = static_cast<std::uint64_t>(at);
    const std::uint64_t size = size_of(file, here);
    bytes = std::min(bytes, size < from ? 0 : size - from);
  }
  return static_cast<std::size_t>(bytes / into.of.size);
}

started iwrite_at(file_state& file, std::uint64_t offset, const_memory what, const place& here) {
  begin(file, "iwrite_at", here);
  check_placed(file, "iwrite_at", here);
  const MPI_Offset at = bytes_at(file, offset, what.of, "iwrite_at", here);
  const byte_count length(what.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_File_iwrite_at(file.handle, at, what.data, length.count(), length.type(), &handle), file, "iwrite_at",
        here);
  return begun(handle, file.where(), "iwrite_at", false, here);
}

started iread_at(file_state& file, std::uint64_t offset, memory into, const place& here) {
  begin(file, "iread_at", here);
  check_reads(file, "iread_at", here);
  const MPI_Offset at = bytes_at(file, offset, into.of, "iread_at", here);
  const byte_count length(into.bytes());
  MPI_Request handle = MPI_REQUEST_NULL;
  check(MPI_File_iread_at(file.handle, at, into.data, length.count(), length.type(), &handle), file, "iread_at", here);
  return begun(handle, file.where(), "iread_at", false, here);
}

void append_blocks(file_state& file, const_memory what, const place& here) {
  constexpr auto call = "append_blocks";
  begin(file, call, here);
  check_writes(file, call, here);
  comm_state& where = file.where();
  // Where this rank's begin, and where all of them end: known by all ranks, as others may not have written yet what
  // this one appends to.
  std::uint64_t before = 0;
  {
    // Each rank sees what it has written itself.
    const auto seen = static_cast<std::int64_t>(std::max(size_of(file, here), file.end));
    const together waits(where, {.call = call}, here);
    std::int64_t end = 0;
    detail::check(MPI_Allreduce(&seen, &end, 1, MPI_INT64_T, MPI_MAX, comm_of(where)), where, call, here);
    const std::uint64_t mine = what.bytes();
    std::uint64_t sum = 0;
    detail::check(MPI_Exscan(&mine, &before, 1, MPI_UINT64_T, MPI_SUM, comm_of(where)), where, call, here);
    detail::check(MPI_Allreduce(&mine, &sum, 1, MPI_UINT64_T, MPI_SUM, comm_of(where)), where, call, here);
    if (where.rank == 0) before = 0;  // MPI leaves it as it likes
    before += static_cast<std::uint64_t>(end);
    file.end = static_cast<std::uint64_t>(end) + sum;
  }
  const MPI_Offset at = bytes_at(file, before, {.size = 1}, call, here);
  write_all_bytes(file, at, what, call, here);
}

}  // namespace tutti::mpi::detail
