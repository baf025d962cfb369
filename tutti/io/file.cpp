#include <tutti/io/file.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/io/helpers.hpp>
#include <tutti/io/until.hpp>
#include <tutti/task/await.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <mutex>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

namespace tutti::io {
namespace {

// What one call reads or writes at most: it has memory of its own, and its helper for so long.
constexpr std::size_t most_per_call = std::size_t{256} << 10;

[[noreturn]] void fail(const char* tried, const std::string& path) {
  const int error = errno;
  throw os_error::of(fmt::format("{} {}", tried, path), error);
}

::off_t as_offset(std::uint64_t offset, const std::string& path) {
  if (offset > static_cast<std::uint64_t>(std::numeric_limits<::off_t>::max()))
    throw std::invalid_argument(fmt::format("file {}: offset {} is beyond what a file can have", path, offset));
  return static_cast<::off_t>(offset);
}

std::string name_of(const std::filesystem::path& path) {
  if (path.native().find('\0') != std::string::npos || path.empty())
    throw std::invalid_argument(
        fmt::format("file \"{}\": the path is empty or contains a zero byte", path.native().c_str()));
  return path.native();
}

struct bytes_read {
  std::unique_ptr<char[]> bytes;
  std::size_t size = 0;
};

void write_all(int fd, std::string_view bytes, std::optional<::off_t> at, const std::string& path) {
  while (!bytes.empty()) {
    const ::ssize_t n = at ? ::pwrite(fd, bytes.data(), bytes.size(), *at) : ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("writing", path);
    bytes.remove_prefix(static_cast<std::size_t>(n));
    if (at) *at += n;
  }
}

void sync_all(int fd, const std::string& path) {
  // Filesystems without disks have nothing to do.
  if (::fsync(fd) != 0 && errno != EINVAL && errno != EROFS) fail("syncing", path);
}

}  // namespace

// Kept by the file and by its calls under way: so the descriptor is closed when there is no call that uses it.
struct file::state {
  state(unique_fd opened, std::string name, bool at_end)
      : fd(std::move(opened)), path(std::move(name)), append(at_end) {}
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
      const ::ssize_t n = ::pread(fd.get(), to + done, size - done, as_offset(offset + done, path));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("reading", path);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  unique_fd fd;
  const std::string path;
  const bool append;

  std::mutex mutex;
  std::vector<shared_future<void>> left_alone;  // calls that nobody waits for any more
  int under_way = 0;
  bool is_closed = false;

  // Of who uses the position.
  std::atomic<bool> positioned{false};
  std::uint64_t position = 0;
  std::string ahead;  // what follows there in the file, from `ahead_at` on, as far as it was read for lines
  std::size_t ahead_at = 0;
};

namespace {

using state_ptr = std::shared_ptr<file::state>;

// A call of one file while it runs, awaited or not.
class counted {
 public:
  explicit counted(file::state& s) : state_(s) {
    const std::lock_guard lock(s.mutex);
    if (s.is_closed) throw closed("file " + s.path + " was closed");
    ++s.under_way;
  }
  ~counted() {
    const std::lock_guard lock(state_.mutex);
    --state_.under_way;
  }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;

 private:
  file::state& state_;
};

class positioned {
 public:
  explicit positioned(file::state& s) : state_(s) {
    if (s.positioned.exchange(true, std::memory_order_acquire))
      throw std::logic_error(
          "file " + s.path +
          ": another coroutine uses its position: let one at a time do so, or use read_at, write_at");
  }
  ~positioned() { state_.positioned.store(false, std::memory_order_release); }
  positioned(const positioned&) = delete;
  positioned& operator=(const positioned&) = delete;

 private:
  file::state& state_;
};

task<> await_left_alone(state_ptr s, detail::until end) {
  for (;;) {
    std::optional<shared_future<void>> first;
    {
      const std::lock_guard lock(s->mutex);
      std::erase_if(s->left_alone, [](const auto& call) { return call.done(); });
      if (!s->left_alone.empty()) first = s->left_alone.front();
    }
    if (!first) co_return;
    try {
      co_await detail::await_helper(*first, end, "waiting for an earlier call of " + s->path);
    } catch (const cancelled&) {
      throw;
    } catch (const timed_out&) {
      throw;
    } catch (const std::exception&) {  // its own; whoever began it did not want to know any more
    }
  }
}

// Runs `f(state&)` on a helper, behind calls that were given up.
template <class F>
task<> carry_out(state_ptr s, detail::until end, std::string tried, F f) {
  task<> earlier = await_left_alone(s, end);
  co_await std::move(earlier);
  auto work = [s, f = std::move(f)] {
    const counted here(*s);
    f(*s);
  };
  const shared_future<void> call = detail::helpers().submit(std::move(work)).share();
  try {
    co_await detail::await_helper(call, end, std::move(tried));
  } catch (...) {
    if (!call.done()) {
      const std::lock_guard lock(s->mutex);
      s->left_alone.push_back(call);
    }
    throw;
  }
}

// At most most_per_call bytes.
task<bytes_read> read_piece(state_ptr s, std::size_t size, std::uint64_t offset, detail::until end) {
  const auto result = std::make_shared<bytes_read>();  // the call's, if it is left alone
  auto call = [result, offset, size = std::min(size, most_per_call)](file::state& f) {
    result->bytes = std::make_unique_for_overwrite<char[]>(size);
    result->size = f.read(offset, result->bytes.get(), size);
  };
  task<> done = carry_out(s, end, "reading " + s->path, std::move(call));
  co_await std::move(done);
  co_return std::move(*result);
}

task<> write_pieces(state_ptr s, const_buffer bytes, std::uint64_t offset, detail::until end, std::uint64_t* position) {
  while (!bytes.empty()) {
    const std::size_t size = std::min(bytes.size(), most_per_call);
    auto call = [piece = std::string(bytes.text().substr(0, size)), offset](file::state& f) {
      write_all(f.fd.get(), piece, f.append ? std::nullopt : std::optional(as_offset(offset, f.path)), f.path);
    };
    task<> done = carry_out(s, end, "writing " + s->path, std::move(call));
    co_await std::move(done);
    bytes = bytes.behind(size);
    offset += size;
    if (position != nullptr) *position = offset;
  }
}

task<std::size_t> read_at_on(state_ptr s, mutable_buffer room, std::uint64_t offset, std::chrono::nanoseconds limit) {
  detail::until end(limit);
  std::size_t done = 0;
  while (done < room.size()) {
    const std::size_t wanted = std::min(room.size() - done, most_per_call);
    const bytes_read got = co_await read_piece(s, wanted, offset + done, end);
    std::memcpy(room.data() + done, got.bytes.get(), got.size);
    done += got.size;
    if (got.size < wanted) break;
  }
  co_return done;
}

task<> write_at_on(state_ptr s, const_buffer bytes, std::uint64_t offset, std::chrono::nanoseconds limit) {
  if (s->append) throw std::logic_error("write_at: file " + s->path + " was opened to append: use write");
  co_await write_pieces(s, bytes, offset, detail::until(limit), nullptr);
}

std::string take_ahead(file::state& s, std::size_t size) {
  std::string taken = s.ahead.substr(s.ahead_at, size);
  s.ahead_at += size;
  s.position += size;
  if (s.ahead_at == s.ahead.size()) {
    s.ahead.clear();
    s.ahead_at = 0;
  }
  return taken;
}

task<std::size_t> read_some_on(state_ptr s, mutable_buffer room, std::chrono::nanoseconds limit) {
  const positioned here(*s);
  const std::size_t ahead = s->ahead.size() - s->ahead_at;
  if (ahead != 0 || room.empty()) {
    const std::string taken = take_ahead(*s, std::min(ahead, room.size()));
    std::memcpy(room.data(), taken.data(), taken.size());
    co_return taken.size();
  }
  const bytes_read got = co_await read_piece(s, room.size(), s->position, detail::until(limit));
  std::memcpy(room.data(), got.bytes.get(), got.size);
  s->position += got.size;
  co_return got.size;
}

task<std::optional<std::string>> read_line_on(state_ptr s, std::size_t most, std::chrono::nanoseconds limit) {
  const positioned here(*s);
  detail::until end(limit);
  for (std::size_t looked_at = 0;;) {
    const std::string_view ahead = std::string_view(s->ahead).substr(s->ahead_at);
    const std::size_t found = ahead.substr(0, most).find('\n', looked_at);
    if (found != std::string_view::npos) {
      std::string line = take_ahead(*s, found + 1);
      line.pop_back();
      if (line.ends_with('\r')) line.pop_back();
      co_return line;
    }
    if (ahead.size() >= most) throw too_long(fmt::format("reading {}: a line has more than {} bytes", s->path, most));
    looked_at = ahead.size();
    const bytes_read got = co_await read_piece(s, 65536, s->position + looked_at, end);
    if (got.size == 0) {
      if (looked_at == 0) co_return std::nullopt;
      co_return take_ahead(*s, looked_at);
    }
    s->ahead.erase(0, std::exchange(s->ahead_at, 0));
    s->ahead.append(got.bytes.get(), got.size);
  }
}

void forget_ahead(file::state& s) {
  s.ahead.clear();
  s.ahead_at = 0;
}

task<> write_on(state_ptr s, const_buffer bytes, std::chrono::nanoseconds limit) {
  const positioned here(*s);
  forget_ahead(*s);
  co_await write_pieces(s, bytes, s->position, detail::until(limit), &s->position);
}

task<std::uint64_t> size_on(state_ptr s, std::chrono::nanoseconds limit) {
  const auto size = std::make_shared<std::uint64_t>(0);
  auto call = [size](file::state& f) {
    struct ::stat status{};
    if (::fstat(f.fd.get(), &status) != 0) fail("looking at", f.path);
    *size = static_cast<std::uint64_t>(status.st_size);
  };
  task<> done = carry_out(s, detail::until(limit), "looking at " + s->path, std::move(call));
  co_await std::move(done);
  co_return *size;
}

task<> close_it(state_ptr s, std::chrono::nanoseconds limit) {
  detail::until end(limit);
  task<> earlier = await_left_alone(s, end);
  co_await std::move(earlier);
  {
    const std::lock_guard lock(s->mutex);
    if (s->under_way != 0)
      throw std::logic_error("file " + s->path + ": close: another call of it is under way: await that first");
    s->is_closed = true;
  }
  auto work = [s] {
    // The number is free again even after EINTR.
    if (::close(s->fd.release()) != 0 && errno != EINTR) fail("closing", s->path);
  };
  const shared_future<void> call = detail::helpers().submit(std::move(work)).share();
  co_await detail::await_helper(call, end, "closing " + s->path);
}

unique_fd open_now(const std::string& path, file_mode mode, int permissions) {
  static constexpr struct {
    const char* tried;
    int flags;
  } how[] = {{"opening", O_RDONLY},
             {"opening for writing", O_WRONLY | O_CREAT | O_TRUNC},
             {"opening to append", O_WRONLY | O_CREAT | O_APPEND},
             {"opening to update", O_RDWR | O_CREAT},
             {"creating", O_RDWR | O_CREAT | O_EXCL}};
  const auto& chosen = how[static_cast<std::size_t>(mode)];
  unique_fd fd;
  // O_NONBLOCK: does not wait for who might open the other end of a pipe.
  do fd.reset(::open(path.c_str(), chosen.flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, permissions));
  while (!fd && errno == EINTR);
  struct ::stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) fail(chosen.tried, path);
  if (S_ISDIR(status.st_mode)) throw os_error::of(fmt::format("{} {}", chosen.tried, path), EISDIR);
  if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || ::isatty(fd.get()) == 1)
    throw os_error::of(
        fmt::format("{} {}: a pipe, socket or terminal may never be ready; use io::stream::adopt", chosen.tried, path),
        EPERM);
  return fd;
}

}  // namespace

const state_ptr& file::opened() const {
  if (state_ == nullptr) throw closed("the file was closed, or is none: it was never opened, or moved from");
  return state_;
}

int file::descriptor() const noexcept { return state_ == nullptr ? -1 : state_->fd.get(); }

task<file> file::open(std::filesystem::path path, file_mode mode, std::chrono::nanoseconds limit, int permissions) {
  const std::string name = name_of(path);
  const auto result = std::make_shared<state_ptr>();
  auto work = [result, name, mode, permissions] {
    *result = std::make_shared<state>(open_now(name, mode, permissions), name, mode == file_mode::append);
  };
  const shared_future<void> call = detail::helpers().submit(std::move(work)).share();
  co_await detail::await_helper(call, detail::until(limit), "opening " + name);
  co_return file(std::move(*result));
}

task<std::size_t> file::read_at(mutable_buffer room, std::uint64_t offset, std::chrono::nanoseconds limit) const {
  return read_at_on(opened(), room, offset, limit);
}
task<> file::write_at(const_buffer bytes, std::uint64_t offset, std::chrono::nanoseconds limit) const {
  return write_at_on(opened(), bytes, offset, limit);
}
task<std::size_t> file::read_some(mutable_buffer room, std::chrono::nanoseconds limit) const {
  return read_some_on(opened(), room, limit);
}
task<std::optional<std::string>> file::read_line(std::size_t most, std::chrono::nanoseconds limit) const {
  return read_line_on(opened(), most, limit);
}
task<> file::write(const_buffer bytes, std::chrono::nanoseconds limit) const {
  return write_on(opened(), bytes, limit);
}

std::uint64_t file::position() const { return opened()->position; }

void file::seek(std::uint64_t position) const {
  state& s = *opened();
  static_cast<void>(as_offset(position, s.path));
  const positioned here(s);
  forget_ahead(s);
  s.position = position;
}

task<std::uint64_t> file::size(std::chrono::nanoseconds limit) const { return size_on(opened(), limit); }

task<> file::truncate(std::uint64_t size, std::chrono::nanoseconds limit) const {
  const state_ptr& s = opened();
  auto call = [length = as_offset(size, s->path)](state& f) {
    if (::ftruncate(f.fd.get(), length) != 0) fail("truncating", f.path);
  };
  return carry_out(s, detail::until(limit), "truncating " + s->path, std::move(call));
}

task<> file::sync(std::chrono::nanoseconds limit) const {
  const state_ptr& s = opened();
  auto call = [](state& f) { sync_all(f.fd.get(), f.path); };
  return carry_out(s, detail::until(limit), "syncing " + s->path, call);
}

task<> file::close(std::chrono::nanoseconds limit) {
  static_cast<void>(opened());
  return close_it(std::move(state_), limit);
}

// ---------------------------------------------------------------- whole files

namespace {

std::string read_now(const std::string& path, std::size_t most) {
  const unique_fd fd = open_now(path, file_mode::read, 0);
  struct ::stat status{};
  if (::fstat(fd.get(), &status) != 0) fail("looking at", path);
  const auto check = [&](std::size_t size) {
    if (size > most) throw too_long(fmt::format("reading {}: it has more than {} bytes", path, most));
  };
  const auto announced = static_cast<std::size_t>(status.st_size);
  check(announced);
  // One more than it should have, to see its end at once. Those of /proc have no size, others grow meanwhile.
  std::string content(announced + 1, '\0');
  for (std::size_t done = 0;;) {
    const ::ssize_t n = ::read(fd.get(), content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("reading", path);
    done += static_cast<std::size_t>(n);
    check(done);
    if (n == 0) {
      content.resize(done);
      return content;
    }
    if (done == content.size()) content.resize(std::max<std::size_t>(2 * done, 4096));
  }
}

// A file that is removed unless it gets its name.
class new_file {
 public:
  new_file(const std::string& target, int permissions) : path_(target) {
    const std::size_t name = path_.rfind('/') + 1;
    std::random_device random;
    for (int tries = 0; tries < 100 && !fd_; ++tries) {
      path_ = fmt::format("{}.{}.new-{:08x}", target.substr(0, name), target.substr(name, 200), random());
      fd_.reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, permissions));
      if (!fd_ && errno != EEXIST && errno != EINTR) break;
    }
    if (!fd_) fail("creating", path_);
  }
  ~new_file() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  new_file(const new_file&) = delete;
  new_file& operator=(const new_file&) = delete;

  int fd() const noexcept { return fd_.get(); }
  const std::string& path() const noexcept { return path_; }
  void replace(const std::string& target) {
    if (::rename(path_.c_str(), target.c_str()) != 0) fail("replacing", target);
    path_.clear();
  }

 private:
  std::string path_;
  unique_fd fd_;
};

void replace_now(const std::string& named, const std::string& content, int permissions, bool sync) {
  std::error_code none;
  const std::string target = std::filesystem::is_symlink(std::filesystem::symlink_status(named, none))
                                 ? std::filesystem::weakly_canonical(named, none).native()
                                 : named;
  if (target.empty()) throw os_error::of("replacing " + named + ": where the link leads", none.value());
  struct ::stat before{};
  const bool was_there = ::stat(target.c_str(), &before) == 0;
  if (was_there && !S_ISREG(before.st_mode))
    throw os_error::of("replacing " + target + ": it is no regular file", S_ISDIR(before.st_mode) ? EISDIR : EPERM);
  new_file made(target, permissions);
  if (was_there && ::fchmod(made.fd(), before.st_mode & 07777U) != 0) fail("setting the permissions of", made.path());
  write_all(made.fd(), content, std::nullopt, made.path());
  if (sync) sync_all(made.fd(), made.path());
  made.replace(target);
  if (!sync) return;
  // Its new name, too.
  const std::size_t slash = target.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : target.substr(0, std::max<std::size_t>(slash, 1));
  const unique_fd names(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (names) sync_all(names.get(), folder);
}

}  // namespace

task<std::string> read_file(std::filesystem::path path, std::size_t most, std::chrono::nanoseconds limit) {
  const std::string name = name_of(path);
  const auto result = std::make_shared<std::string>();
  auto work = [result, name, most] { *result = read_now(name, most); };
  const shared_future<void> call = detail::helpers().submit(std::move(work)).share();
  co_await detail::await_helper(call, detail::until(limit), "reading " + name);
  co_return std::move(*result);
}

task<> write_file(std::filesystem::path path, std::string content, write_file_options options) {
  const std::string name = name_of(path);
  auto work = [name, content = std::move(content), permissions = options.permissions, sync = options.sync] {
    replace_now(name, content, permissions, sync);
  };
  const shared_future<void> call = detail::helpers().submit(std::move(work)).share();
  co_await detail::await_helper(call, detail::until(options.limit), "replacing " + name);
}

}  // namespace tutti::io
