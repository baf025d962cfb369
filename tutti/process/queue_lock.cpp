#include <tutti/process/queue_lock.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/cpu.hpp>

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tutti::detail {
namespace {

// Fields 3 and 22 of /proc/PID/stat; false when there is no such process (or no /proc). Allocates nothing: it is called
// with the lock held.
bool look_up(std::int64_t pid, char& state, std::uint64_t& started) noexcept {
  char text[512];
  std::snprintf(text, sizeof text, "/proc/%lld/stat", static_cast<long long>(pid));
  const int fd = ::open(text, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ::ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0) return false;
  text[n] = '\0';
  const char* at = std::strrchr(text, ')');  // the name before it may hold anything
  if (at == nullptr || at[1] == '\0') return false;
  state = at[2];
  for (int field = 2; field < 22; ++field) {
    at = std::strchr(at + 1, ' ');
    if (at == nullptr) return false;
  }
  started = std::strtoull(at, nullptr, 10);
  return true;
}

}  // namespace

queue_lock::queue_lock() {
  ::pthread_mutexattr_t how;
  ::pthread_mutexattr_init(&how);
  ::pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
  ::pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
  const int code = ::pthread_mutex_init(&mutex_, &how);
  ::pthread_mutexattr_destroy(&how);
  if (code != 0) throw os_error::of("cannot make a process_queue's lock", code);
}

bool queue_lock::lock() {
  int code = EBUSY;
  // As long as one copies an element or two: to sleep would cost more.
  for (int i = 0; i < 200 && (code = ::pthread_mutex_trylock(&mutex_)) == EBUSY; ++i) cpu::pause();
  if (code == EBUSY) code = ::pthread_mutex_lock(&mutex_);
  if (code == 0) [[likely]]
    return false;
  if (code != EOWNERDEAD) throw os_error::of("cannot lock a process_queue", code);
  // Consistent at once: who dies during the repair leaves it to the next again.
  ::pthread_mutex_consistent(&mutex_);
  return true;
}

void queue_gate::wake_one() noexcept { ::syscall(SYS_futex, &turn, FUTEX_WAKE, 1, nullptr, nullptr, 0); }
void queue_gate::wake_all() noexcept { ::syscall(SYS_futex, &turn, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

void queue_gate::sleep(std::uint32_t seen, std::chrono::nanoseconds limit) noexcept {
  const auto at_most = std::min<std::chrono::nanoseconds>(limit, std::chrono::seconds(1));
  const ::timespec how_long{at_most / std::chrono::seconds(1), (at_most % std::chrono::seconds(1)).count()};
  ::syscall(SYS_futex, &turn, FUTEX_WAIT, seen, &how_long, nullptr, 0);
}

process_identity process_identity::own() noexcept {
  static constinit thread_local process_identity known;
  static constinit thread_local std::uint32_t forks = 0;
  if (known.pid == 0 || forks != forks_before_this_process()) {
    char state = 0;
    known = {::getpid(), 0};
    if (!look_up(known.pid, state, known.started)) known.started = 0;
    forks = forks_before_this_process();
  }
  return known;
}

bool process_identity::alive() const noexcept {
  char state = 0;
  std::uint64_t now = 0;
  if (started == 0 || !look_up(pid, state, now)) return ::kill(static_cast<::pid_t>(pid), 0) == 0 || errno == EPERM;
  return now == started && state != 'Z' && state != 'X';
}

}  // namespace tutti::detail
