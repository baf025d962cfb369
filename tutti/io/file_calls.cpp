#include <tutti/io/file_calls.hpp>

#include <tutti/base/error.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace tutti::io::detail {

void fail(const char* tried, const std::string& path) {
  const int error = errno;
  throw os_error::of(fmt::format("{} {}", tried, path), error);
}

std::string name_of(const std::filesystem::path& path) {
  if (path.native().find('\0') != std::string::npos || path.empty())
    throw std::invalid_argument(
        fmt::format("file \"{}\": the path is empty or contains a zero byte", path.native().c_str()));
  return path.native();
}

void write_all(int fd, std::string_view bytes, std::optional<::off_t> at, const std::string& path) {
  while (!bytes.empty()) {
    const ::ssize_t n = at ? ::pwrite(fd, bytes.data(), bytes.size(), *at) : ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("writing", path);
    bytes.remove_prefix(static_cast<std::size_t>(n));
    if (at) *at += n;
  }
}

void sync_all(int fd, const std::string& path) {
  int result = 0;
  do result = ::fsync(fd);
  while (result != 0 && errno == EINTR);
  // Filesystems without disks have nothing to do.
  if (result != 0 && errno != EINVAL && errno != EROFS) fail("syncing", path);
}

unique_fd open_file(const std::string& path, file_mode mode, int permissions) {
  static constexpr struct {
    const char* tried;
    int flags;
  } how[] = {{"opening", O_RDONLY},
             {"opening for writing", O_WRONLY | O_CREAT | O_TRUNC},
             {"opening to append", O_WRONLY | O_CREAT | O_APPEND},
             {"opening to update", O_RDWR | O_CREAT},
             {"creating", O_RDWR | O_CREAT | O_EXCL}};
  const auto& chosen = how[static_cast<std::size_t>(mode)];
  unique_fd fd;
  // O_NONBLOCK: does not wait for who might open the other end of a pipe.
  do fd.reset(::open(path.c_str(), chosen.flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, permissions));
  while (!fd && errno == EINTR);
  struct ::stat status{};
  // What the system does not open so (ENXIO), a socket's name or a pipe that nobody reads, is one of these all the
  // same.
  const bool may_be_looked_at =
      fd ? ::fstat(fd.get(), &status) == 0 : errno == ENXIO && ::stat(path.c_str(), &status) == 0;
  const bool may_never_be_ready = S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode);
  if (!may_be_looked_at || (!fd && !may_never_be_ready)) fail(chosen.tried, path);
  if (S_ISDIR(status.st_mode)) throw os_error::of(fmt::format("{} {}", chosen.tried, path), EISDIR);
  if (may_never_be_ready || ::isatty(fd.get()) == 1)
    throw os_error::of(
        fmt::format("{} {}: a pipe, socket or terminal may never be ready; use io::stream::adopt", chosen.tried, path),
        EPERM);
  return fd;
}

}  // namespace tutti::io::detail
