#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tutti/base/error.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/cluster/inside/brokers/sqlite_bell.hpp>
#include <tutti/process/process_futex.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>

namespace tutti::cluster::detail {
namespace {

constexpr std::size_t bytes = 4096;

}  // namespace

sqlite_bell::sqlite_bell(const std::string& path) {
  const auto refuse = [&] { throw broker_error("cannot use " + path + ": " + std::generic_category().message(errno)); };
  const unique_fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666));
  if (!file) refuse();
  // With room on the disk: to write into a hole of a file would kill us when the disk is full.
  errno = ::posix_fallocate(file.get(), 0, bytes);
  if (errno != 0) refuse();
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (at == MAP_FAILED) refuse();
  counters_ = static_cast<counter*>(at);
}

sqlite_bell::~sqlite_bell() { ::munmap(counters_, bytes); }

std::uint32_t sqlite_bell::count(kind what) const noexcept { return of(what).count.load(); }

// Either the ringer sees the sleeper, or the sleeper sees the new count: both are written before the other is read.
void sqlite_bell::ring(kind what) noexcept {
  counter& one = of(what);
  one.count.fetch_add(1);
  if (one.sleepers.load() != 0) tutti::detail::process_futex_wake(one.count, INT_MAX);
}

void sqlite_bell::wait(kind what, std::uint32_t seen, std::chrono::steady_clock::time_point until) noexcept {
  counter& one = of(what);
  one.sleepers.fetch_add(1);
  const auto look = std::chrono::steady_clock::now() + tutti::detail::slow_look;
  if (one.count.load() == seen) tutti::detail::process_futex_wait(one.count, seen, std::min(until, look));
  one.sleepers.fetch_sub(1);
}

}  // namespace tutti::cluster::detail
