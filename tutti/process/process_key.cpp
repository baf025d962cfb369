#include <tutti/process/process_key.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/unique_fd.hpp>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace tutti::detail {
namespace {

// Process ids are below 2^22 on Linux; 42 bits of clock ticks since the machine's start are a thousand years.
constexpr unsigned pid_bits = 22;
constexpr process_key pid_mask = (process_key{1} << pid_bits) - 1;

struct process_stat {
  char state = '?';
  std::uint64_t threads = 0;
  std::uint64_t started = 0;  // clock ticks since the machine's start
};

// What /proc/PID/stat says; see proc_pid_stat(5). No memory is allocated: it is read while others wait.
std::optional<process_stat> stat_of(::pid_t pid) noexcept {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/stat", static_cast<int>(pid));
  const unique_fd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 1024> bytes{};
  ::ssize_t size = 0;
  while ((size = ::read(file.get(), bytes.data(), bytes.size())) < 0 && errno == EINTR) {
  }
  if (size <= 0) return std::nullopt;
  std::string_view text(bytes.data(), static_cast<std::size_t>(size));
  const std::size_t name_end = text.rfind(')');  // the name itself may contain anything
  if (name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name_end + 1);
  process_stat result;
  for (int field = 3; field <= 22; ++field) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    const std::string_view word = text.substr(0, text.find(' '));
    if (word.empty()) return std::nullopt;
    const char* const begin = &word.front();
    const char* const end = begin + word.size();
    if (field == 3) result.state = word.front();
    if (field == 20) std::from_chars(begin, end, result.threads);
    if (field == 22) std::from_chars(begin, end, result.started);
    text.remove_prefix(word.size());
  }
  return result;
}

process_key key_of(::pid_t pid, std::uint64_t started) noexcept {
  return (started << pid_bits) | static_cast<process_key>(pid);
}

// The calling process, asked from the kernel once: that costs as much as a lock. The key is there when the number is.
constinit std::atomic<process_key> known{0};
constinit std::atomic<std::uint32_t> known_after_forks{~std::uint32_t{0}};

// One asks at a time, and a child is made before or after.
struct asking {
  std::mutex mutex;
};

// acquire, release: who sees the number of forks sees the key of the same process.
bool is_known() noexcept { return known_after_forks.load(std::memory_order_acquire) == forks_before_this_process(); }

// Whether the key is complete. Without `must_be`, an answer without a start time is better than none, and counts from
// then on: what one thing knows under two keys would belong to neither.
bool find_out(bool must_be) noexcept {
  const std::lock_guard lock(process_wide<asking>().mutex);
  if (is_known()) return true;
  const ::pid_t pid = ::getpid();
  const auto stat = stat_of(pid);
  if (!stat && must_be) return false;
  known.store(key_of(pid, stat ? stat->started : 0), std::memory_order_relaxed);
  known_after_forks.store(forks_before_this_process(), std::memory_order_release);
  return true;
}

}  // namespace

::pid_t pid_of(process_key process) noexcept { return static_cast<::pid_t>(process & pid_mask); }

process_key this_process() noexcept {
  if (!is_known()) [[unlikely]]
    find_out(false);
  return known.load(std::memory_order_relaxed);
}

void know_this_process(const char* what) {
  if (is_known() || find_out(true)) return;
  const int reason = errno;
  throw os_error::of(
      std::string(what) + ": cannot read /proc/self/stat, by which others see whether this process lives", reason);
}

bool is_running(process_key process) noexcept {
  const ::pid_t pid = pid_of(process);
  if (::kill(pid, 0) != 0 && errno == ESRCH) return false;
  const auto stat = stat_of(pid);
  if (!stat) return ::kill(pid, 0) == 0 || errno != ESRCH;  // it went in between, or we may not look
  const std::uint64_t started = process >> pid_bits;
  if (started != 0 && stat->started != started) return false;  // the id is another's now
  // A zombie with threads has only lost its first one.
  return (stat->state != 'Z' && stat->state != 'X' && stat->state != 'x') || stat->threads > 1;
}

// Its parts are asked from the kernel once per thread and fork: they cost more than an uncontended lock.
thread_key this_thread() noexcept {
  struct known_thread {
    thread_key key = 0;
    std::uint32_t forks_before = 0;
  };
  static constinit thread_local known_thread here;
  if (here.key == 0 || here.forks_before != forks_before_this_process()) {
    here = {(static_cast<thread_key>(::getpid()) << 32) | static_cast<std::uint32_t>(::gettid()),
            forks_before_this_process()};
  }
  return here.key;
}

::pid_t pid_of_thread(thread_key thread) noexcept { return static_cast<::pid_t>(thread >> 32); }

bool runs_here(thread_key thread) noexcept {
  const ::pid_t pid = pid_of_thread(thread);
  return pid == ::getpid() && ::syscall(SYS_tgkill, pid, static_cast<::pid_t>(thread & 0xffffffffU), 0) == 0;
}

}  // namespace tutti::detail
