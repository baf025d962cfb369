// descriptor_reserve: descriptors for when there are no others.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tutti::detail {

/// Which file a descriptor stands for: a call may have closed it, and opened something else under its number.
class file_identity {
 public:
  explicit file_identity(int fd) noexcept { known_ = ::fstat(fd, &about_) == 0; }
  bool is_that_of(int fd) const noexcept {
    struct ::stat now{};
    return known_ && ::fstat(fd, &now) == 0 && now.st_ino == about_.st_ino && now.st_dev == about_.st_dev;
  }

 private:
  struct ::stat about_{};
  bool known_;
};

/// Some descriptors to be let go when there are no others: what comes over the socket when there is no room is lost.
class descriptor_reserve {
 public:
  explicit descriptor_reserve(int any) noexcept : file_(any) {
    for (int& one : kept_) one = ::fcntl(any, F_DUPFD_CLOEXEC, 0);
  }
  void let_go() noexcept {
    for (int& one : kept_) {
      if (file_.is_that_of(one)) ::close(one);
      one = -1;
    }
  }

 private:
  const file_identity file_;
  int kept_[16];
};

}  // namespace tutti::detail
