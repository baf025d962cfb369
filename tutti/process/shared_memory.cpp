#include <tutti/process/shared_memory.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/above_streams.hpp>
#include <tutti/process/memory_left.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <stdexcept>
#include <string>
#include <utility>

namespace tutti::detail {
namespace {

constexpr std::size_t worth_asking = std::size_t{16} << 20;

// Nobody can change the size any more: an access behind a new end would be a SIGBUS.
constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;

[[noreturn]] void refuse(std::size_t size, std::string_view what, int code) {
  throw os_error::of("cannot make " + std::to_string(size) + " bytes of shared memory for " + std::string(what), code);
}

// While it lives, what is beyond RLIMIT_FSIZE is an error of the call, EFBIG, and not SIGXFSZ, which kills; of the
// calling thread alone.
class no_sigxfsz {
 public:
  no_sigxfsz() noexcept {
    ::sigset_t pending;
    ::sigemptyset(&pending);
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGXFSZ) == 1;  // somebody else's, which stays
    ::sigemptyset(&only_);
    ::sigaddset(&only_, SIGXFSZ);
    ::pthread_sigmask(SIG_BLOCK, &only_, &before_);
  }
  ~no_sigxfsz() {
    const ::timespec at_once{};
    if (!was_pending_) ::sigtimedwait(&only_, nullptr, &at_once);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  no_sigxfsz(const no_sigxfsz&) = delete;
  no_sigxfsz& operator=(const no_sigxfsz&) = delete;

 private:
  ::sigset_t only_{};
  ::sigset_t before_{};
  bool was_pending_ = false;
};

// Gives a file that many bytes, all of them there: better no memory here than a SIGBUS at the first touch. 0, or errno.
// A signal undoes what one call has done so far: where signals come often, the calls must be short to get on.
int allocate(int fd, std::size_t size) {
  constexpr std::size_t page = 4096;
  const no_sigxfsz quiet;
  std::size_t step = std::size_t{4} << 20;
  for (std::size_t done = 0; done < size;) {
    const std::size_t now = std::min(step, size - done);
    if (::fallocate(fd, 0, static_cast<::off_t>(done), static_cast<::off_t>(now)) == 0) {
      done += now;
    } else if (errno == EINTR) {
      step = std::max(step / 2, page);
    } else {
      return errno;
    }
  }
  return 0;
}

}  // namespace

shared_memory::shared_memory(std::size_t size, std::string_view what) : size_(size) {
  if (size == 0) throw std::invalid_argument("shared_memory: 0 bytes for " + std::string(what));
  // The kernel would kill somebody to make room before it refuses.
  if (size > worth_asking && size > memory_left()) refuse(size, what, ENOMEM);
  fd_ = above_streams(
      unique_fd(::memfd_create(std::string(what.substr(0, 200)).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (!fd_) refuse(size, what, errno);
  if (const int failed = allocate(fd_.get(), size); failed != 0) refuse(size, what, failed);
  if (::fcntl(fd_.get(), F_ADD_SEALS, seals) != 0) refuse(size, what, errno);
  map(what);
}

shared_memory::shared_memory(unique_fd fd, std::string_view what) : fd_(above_streams(std::move(fd))) {
  struct ::stat about{};
  const int sealed = ::fcntl(fd_.get(), F_GET_SEALS);
  if (sealed < 0 || (sealed & seals) != seals || ::fstat(fd_.get(), &about) != 0 || about.st_size <= 0)
    throw decode_error("not the shared memory of " + std::string(what));
  size_ = static_cast<std::size_t>(about.st_size);
  map(what);
}

void shared_memory::map(std::string_view what) {
  void* const at = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) refuse(size_, what, errno);
  data_ = static_cast<std::byte*>(at);
}

shared_memory::shared_memory(shared_memory&& other) noexcept
    : fd_(std::move(other.fd_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

shared_memory& shared_memory::operator=(shared_memory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

shared_memory::~shared_memory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace tutti::detail
