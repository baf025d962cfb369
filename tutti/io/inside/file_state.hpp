// file_state: what a file has open, and what its calls under way keep of it.
#pragma once
#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/future.hpp>
#include <tutti/io/file.hpp>
#include <tutti/io/file_calls.hpp>
#include <tutti/io/helpers.hpp>

#include <fmt/format.h>

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tutti::io {

namespace detail {

/// Throws std::invalid_argument for one that the system cannot take.
inline ::off_t as_offset(std::uint64_t offset, const std::string& path) {
  if (offset > static_cast<std::uint64_t>(std::numeric_limits<::off_t>::max()))
    throw std::invalid_argument(fmt::format("file {}: offset {} is beyond what a file can have", path, offset));
  return static_cast<::off_t>(offset);
}

}  // namespace detail

// Kept by the file and by its calls under way: so the descriptor is closed when there is no call that uses it.
struct file::state {
  state(unique_fd opened, std::string name, file_mode opened_for)
      : fd(std::move(opened)), path(std::move(name)), mode(opened_for) {}
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state() {
    if (!fd) return;
    // That may take its time, too.
    const int left = fd.release();
    try {
      detail::helpers().post([left] { ::close(left); });
    } catch (...) {
      ::close(left);
    }
  }

  std::size_t read(std::uint64_t offset, char* to, std::size_t size) const {
    std::size_t done = 0;
    while (done < size) {
      const ::ssize_t n = ::pread(fd.get(), to + done, size - done, detail::as_offset(offset + done, path));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) detail::fail("reading", path);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  // Under the lock. The calls of a parent go on there: a forked child would wait for them without end.
  void look_for_forks() noexcept {
    if (std::exchange(forks, forks_before_this_process()) == forks_before_this_process()) return;
    left_alone.clear();
    under_way = 0;
  }

  void forget_ahead() noexcept {
    ahead.clear();
    ahead_at = 0;
  }

  unique_fd fd;
  const std::string path;
  const file_mode mode;

  std::mutex mutex;
  std::vector<shared_future<void>> left_alone;  // calls that nobody waits for any more
  int under_way = 0;
  std::uint32_t forks = forks_before_this_process();
  bool is_closed = false;

  // Of who uses the position.
  std::atomic<bool> positioned{false};
  std::uint64_t position = 0;
  std::string ahead;  // what follows there in the file, from `ahead_at` on, as far as it was read for lines
  std::size_t ahead_at = 0;
  std::uint64_t ahead_of = 0;  // the change it was read behind

  std::atomic<std::uint64_t> changes{0};  // by calls of this object
};

namespace detail {

/// A call of one file while it runs, awaited or not.
class counted {
 public:
  explicit counted(file::state& s) : state_(s) {
    const std::lock_guard lock(s.mutex);
    s.look_for_forks();
    if (s.is_closed) throw closed("file " + s.path + " was closed");
    ++s.under_way;
    forks_ = s.forks;
  }
  ~counted() {
    const std::lock_guard lock(state_.mutex);
    if (forks_ == state_.forks) --state_.under_way;
  }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;

 private:
  file::state& state_;
  std::uint32_t forks_ = 0;
};

/// A call that changes what is in the file: when it has done so, in part even, what was read ahead is old.
class changing {
 public:
  explicit changing(file::state& s) noexcept : state_(s) {}
  ~changing() { state_.changes.fetch_add(1, std::memory_order_release); }
  changing(const changing&) = delete;
  changing& operator=(const changing&) = delete;

 private:
  file::state& state_;
};

/// The system would only say "Bad file descriptor", or "Invalid argument".
[[noreturn]] inline void throw_not_opened_for(const char* what, const file::state& s, const char* way_out) {
  throw os_error::of(fmt::format("{} {}: it was opened to be {}; open it with {}", what, s.path,
                                 s.mode == file_mode::read ? "read" : "written", way_out),
                     EBADF);
}
inline void must_be_readable(const char* what, const file::state& s) {
  if (s.mode == file_mode::write || s.mode == file_mode::append)
    throw_not_opened_for(what, s, "file_mode::read or file_mode::update");
}
inline void must_be_writable(const char* what, const file::state& s) {
  if (s.mode == file_mode::read) throw_not_opened_for(what, s, "file_mode::update");
}

/// Whoever uses the position, alone. What was read ahead of it is still what is there.
class positioned {
 public:
  explicit positioned(file::state& s) : state_(s) {
    if (s.positioned.exchange(true, std::memory_order_acquire))
      throw std::logic_error(
          "file " + s.path +
          ": another coroutine uses its position: let one at a time do so, or use read_at, write_at");
    const std::uint64_t now = s.changes.load(std::memory_order_acquire);
    if (std::exchange(s.ahead_of, now) != now) s.forget_ahead();
  }
  ~positioned() { state_.positioned.store(false, std::memory_order_release); }
  positioned(const positioned&) = delete;
  positioned& operator=(const positioned&) = delete;

 private:
  file::state& state_;
};

}  // namespace detail

}  // namespace tutti::io
