// few_descriptors: a user who may have few descriptors on their way between processes.
#pragma once
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>

namespace tutti_test {

/// From now on the calling process, which should be a child, may have `most` descriptors open, and its user not many
/// more on their way. False: it cannot be done.
inline bool allow_descriptors(std::size_t most) {
  if (::geteuid() == 0 && ::setuid(65534) != 0) return false;  // root may have any number on their way
  const ::rlimit limit{most, most};
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

}  // namespace tutti_test
