// above_streams: descriptors that nobody takes for a standard stream.
#pragma once
#include <tutti/base/unique_fd.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace tutti::detail {

/// `fd`, or one above 2 in its place. In a program that has closed its streams new descriptors get their numbers, and
/// processes that it starts would inherit them as the streams: what they print would go into shared memory. Without a
/// descriptor for that it stays as it is. Thread-safe.
inline unique_fd above_streams(unique_fd fd) noexcept {
  if (!fd || fd.get() > STDERR_FILENO) return fd;
  unique_fd moved(::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  return moved ? std::move(moved) : std::move(fd);
}

}  // namespace tutti::detail
