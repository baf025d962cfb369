#include <tutti/process/shared_memory.hpp>

#include <tutti/base/error.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <limits>
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

// Bytes of memory that can be had without swapping; a large number when the kernel does not say.
std::size_t available() {
  std::ifstream in("/proc/meminfo");
  for (std::string word; in >> word;) {
    std::size_t kilobytes = 0;
    if (word == "MemAvailable:" && in >> kilobytes) return kilobytes * 1024;
  }
  return std::numeric_limits<std::size_t>::max();
}

}  // namespace

shared_memory::shared_memory(std::size_t size, std::string_view what) : size_(size) {
  if (size == 0) throw std::invalid_argument("shared_memory: 0 bytes for " + std::string(what));
  // The kernel would kill somebody to make room before it refuses.
  if (size > worth_asking && size > available()) refuse(size, what, ENOMEM);
  fd_.reset(::memfd_create(std::string(what.substr(0, 200)).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const auto length = static_cast<::off_t>(size);
  // fallocate: better no memory here than a SIGBUS at the first touch.
  if (!fd_) refuse(size, what, errno);
  int allocated = 0;
  while ((allocated = ::fallocate(fd_.get(), 0, 0, length)) != 0 && errno == EINTR) {
  }
  if (allocated != 0 || ::fcntl(fd_.get(), F_ADD_SEALS, seals) != 0) refuse(size, what, errno);
  map(what);
}

shared_memory::shared_memory(unique_fd fd, std::string_view what) : fd_(std::move(fd)) {
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
