#include <tutti/process/fifo.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/message_sleep.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace tutti::detail {
namespace {

std::string quoted(const std::string& path) { return "named_channel \"" + path + '"'; }

const char* way_out(int code) {
  switch (code) {
    case ENOENT: return " (make its directory first)";
    case EACCES:
    case EPERM: return " (let the owner of the directory or of the FIFO give permission, or choose another path)";
    default: return "";
  }
}

[[noreturn]] void refuse(const std::string& path, const char* tried, int code) {
  throw os_error::of(quoted(path) + ": cannot " + tried + way_out(code), code);
}

const char* kind_of_file(::mode_t mode) {
  if (S_ISREG(mode)) return "a regular file";
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

std::string by_number(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace

fifo::fifo(fifo&& other) noexcept
    : path_(std::move(other.path_)),
      name_(std::move(other.name_)),
      fd_(std::move(other.fd_)),
      maker_(std::exchange(other.maker_, 0)) {}

fifo& fifo::operator=(fifo&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(name_, other.name_);
  std::swap(fd_, other.fd_);
  std::swap(maker_, other.maker_);
  return *this;
}

void fifo::close() noexcept {
  remove();
  fd_.reset();
  name_.reset();
}

void fifo::remove() noexcept {
  if (maker_ != 0 && maker_ == ::getpid() && is_still_there()) ::unlink(path_.c_str());
  maker_ = 0;
}

bool fifo::is_still_there() const noexcept {
  struct ::stat named{};
  struct ::stat ours{};
  return ::lstat(path_.c_str(), &named) == 0 && ::fstat(name_.get(), &ours) == 0 && named.st_dev == ours.st_dev &&
         named.st_ino == ours.st_ino;
}

// False when it was there and then no longer.
bool fifo::find(::mode_t permissions) {
  const bool made = ::mkfifo(path_.c_str(), permissions) == 0;
  if (!made && errno != EEXIST) refuse(path_, "make the FIFO", errno);
  name_.reset(::open(path_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!name_ && errno == ENOENT) return false;
  if (!name_) refuse(path_, "find the FIFO", errno);
  if (made) maker_ = ::getpid();
  struct ::stat about{};
  if (::fstat(name_.get(), &about) != 0) refuse(path_, "look at the FIFO", errno);
  if (!S_ISFIFO(about.st_mode)) {
    throw os_error(quoted(path_) + ": there is " + kind_of_file(about.st_mode) +
                       " of that name, not a FIFO; remove it or choose another path",
                   EEXIST);
  }
  // mkfifo has obeyed the umask. By number: the name may be another's by now.
  if (made && ::chmod(by_number(name_.get()).c_str(), permissions) != 0) refuse(path_, "set the permissions", errno);
  return true;
}

// False when nobody reads.
bool fifo::open(side which) {
  const int how = which == side::reads ? O_RDONLY : O_WRONLY;
  fd_.reset(::open(by_number(name_.get()).c_str(), how | O_NONBLOCK | O_CLOEXEC));
  if (fd_) return true;
  if (errno != ENXIO) refuse(path_, which == side::reads ? "open it to receive" : "open it to send", errno);
  return false;
}

// Without taking anything.
bool fifo::somebody_writes() const {
  ::pollfd one{fd_.get(), POLLIN, 0};
  if (::poll(&one, 1, 0) > 0) return true;  // bytes, or somebody has been here and has gone
  // Nothing is there: end of file for a reader alone, EAGAIN beside a silent writer. tee takes nothing.
  int sink[2];
  if (::pipe2(sink, O_CLOEXEC | O_NONBLOCK) != 0) refuse(path_, "look for somebody who sends", errno);
  const unique_fd out(sink[0]), in(sink[1]);
  return ::tee(fd_.get(), in.get(), 1, SPLICE_F_NONBLOCK) != 0;
}

fifo::fifo(std::string path, side which, ::mode_t permissions, const message_wait& how) : path_(std::move(path)) {
  using namespace std::chrono_literals;
  // The kernel tells nobody that the other side has opened it, unless open() itself waits, which knows no limit and
  // would not see the name go away. Opening is rare: it looks again after pauses.
  std::chrono::nanoseconds pause = 500us;
  try {
    for (;;) {
      while (!name_ && !find(permissions)) {
      }
      if (!fd_ && open(which) && which == side::reads && ::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
        throw os_error(quoted(path_) + ": another program receives from it; only one can at a time", EBUSY);
      }
      // In this order: who made it, sent something and removed it, is seen by the look after.
      const bool there = is_still_there();
      if (fd_ && (which == side::writes || somebody_writes())) return;
      if (!there) {  // its maker has ended: we were waiting for nobody
        maker_ = 0;
        fd_.reset();
        name_.reset();
        continue;
      }
      if (how.is_over()) {
        throw timed_out(quoted(path_) + ": nobody has opened it to " + (which == side::reads ? "send" : "receive") +
                        " in time");
      }
      const message_sleep asleep(this, how, "named_channel", path_);
      const auto nap = std::min(pause, how.left());
      const ::timespec naps{0, nap.count()};
      ::pollfd one{fd_.get(), POLLIN, 0};  // a negative descriptor is passed over
      ::ppoll(&one, 1, &naps, nullptr);
      pause = std::min<std::chrono::nanoseconds>(2 * pause, 50ms);
    }
  } catch (...) {
    close();
    throw;
  }
}

}  // namespace tutti::detail
