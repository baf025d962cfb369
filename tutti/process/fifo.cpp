#include <tutti/process/fifo.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/message_sleep.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
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

constexpr ::mode_t mark = S_ISVTX;

// Never over a file that is there: then EEXIST.
bool rename_to_new(const std::string& from, const std::string& to) noexcept {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  return ::link(from.c_str(), to.c_str()) == 0 && ::unlink(from.c_str()) == 0;  // the file system cannot do it
}

std::string by_number(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace

fifo::fifo(fifo&& other) noexcept
    : path_(std::move(other.path_)),
      name_(std::move(other.name_)),
      fd_(std::move(other.fd_)),
      remover_(std::exchange(other.remover_, 0)),
      marked_(other.marked_) {}

fifo& fifo::operator=(fifo&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(name_, other.name_);
  std::swap(fd_, other.fd_);
  std::swap(remover_, other.remover_);
  std::swap(marked_, other.marked_);
  return *this;
}

void fifo::close() noexcept {
  remove();
  fd_.reset();
  name_.reset();
}

void fifo::remove() noexcept {
  if (remover_ != 0 && remover_ == ::getpid() && is_still_there()) ::unlink(path_.c_str());
  remover_ = 0;
}

bool fifo::is_still_there() const noexcept {
  struct ::stat named{};
  struct ::stat ours{};
  return ::lstat(path_.c_str(), &named) == 0 && ::fstat(name_.get(), &ours) == 0 && named.st_dev == ours.st_dev &&
         named.st_ino == ours.st_ino;
}

// False when somebody else has made it in between.
bool fifo::find(::mode_t permissions) {
  name_.reset(::open(path_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!name_ && errno == ENOENT) return make(permissions);
  if (!name_) refuse(path_, "find the FIFO", errno);
  struct ::stat about{};
  if (::fstat(name_.get(), &about) != 0) refuse(path_, "look at the FIFO", errno);
  if (!S_ISFIFO(about.st_mode)) {
    throw os_error(quoted(path_) + ": there is " + kind_of_file(about.st_mode) +
                       " of that name, not a FIFO; remove it or choose another path",
                   EEXIST);
  }
  marked_ = (about.st_mode & mark) != 0;
  return true;
}

bool fifo::make(::mode_t permissions) {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) refuse(path_, "make the FIFO", errno);
  const std::string own = path_.substr(0, path_.rfind('/') + 1) + ".tutti-" + std::to_string(number);
  if (::mkfifo(own.c_str(), 0600) != 0) refuse(path_, "make the FIFO", errno);
  name_.reset(::open(own.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  // chmod: mkfifo obeys the umask.
  if (name_ && ::chmod(by_number(name_.get()).c_str(), permissions | mark) == 0 && rename_to_new(own, path_)) {
    remover_ = ::getpid();
    marked_ = true;
    return true;
  }
  const int why = errno;
  ::unlink(own.c_str());
  name_.reset();
  if (why != EEXIST) refuse(path_, "make the FIFO", why);
  return false;
}

// False when nobody reads.
bool fifo::open(side which) {
  const int how = which == side::reads ? O_RDONLY : O_WRONLY;
  fd_.reset(::open(by_number(name_.get()).c_str(), how | O_NONBLOCK | O_CLOEXEC));
  if (fd_) return true;
  if (errno != ENXIO) refuse(path_, which == side::reads ? "open it to receive" : "open it to send", errno);
  return false;
}

// As the one that receives.
void fifo::lock() {
  if (::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno != EWOULDBLOCK) refuse(path_, "lock it to receive", errno);
  throw os_error(quoted(path_) + ": another program receives from it; only one can at a time", EBUSY);
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
      if (!fd_ && open(which) && which == side::reads) lock();
      // In this order: its name may be taken away until both have met, and not after that.
      const bool met = fd_ && (which == side::writes || somebody_writes());
      const bool there = is_still_there();
      if (met && there) {
        remover_ = which == side::reads && marked_ ? ::getpid() : 0;
        return;
      }
      if (!there) {  // we were waiting for nobody
        remover_ = 0;
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
