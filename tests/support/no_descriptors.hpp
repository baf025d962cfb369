// no_descriptors: a process that has none free.
#pragma once
#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <tutti/base/unique_fd.hpp>
#include <utility>
#include <vector>

namespace tutti_test {

/// While it lives, this process cannot open one more than are free of those that it closes meanwhile.
class no_descriptors {
 public:
  no_descriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    ::rlimit few = before_;
    few.rlim_cur = std::min<::rlim_t>(few.rlim_cur, 512);
    ::setrlimit(RLIMIT_NOFILE, &few);
    for (tutti::unique_fd one(::open("/dev/null", O_RDONLY | O_CLOEXEC)); one;
         one = tutti::unique_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)))
      taken_.push_back(std::move(one));
  }
  ~no_descriptors() {
    taken_.clear();
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  no_descriptors(const no_descriptors&) = delete;
  no_descriptors& operator=(const no_descriptors&) = delete;

 private:
  ::rlimit before_{};
  std::vector<tutti::unique_fd> taken_;
};

}  // namespace tutti_test
