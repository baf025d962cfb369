// The part of file.hpp that reads and replaces whole files.
#include <tutti/base/error.hpp>
#include <tutti/base/unique_fd.hpp>
#include <tutti/io/file.hpp>
#include <tutti/io/file_calls.hpp>
#include <tutti/io/helpers.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <system_error>
#include <utility>

namespace tutti::io {
namespace {

std::string read_now(const std::string& path, std::size_t most) {
  const unique_fd fd = detail::open_file(path, file_mode::read, 0);
  struct ::stat status{};
  if (::fstat(fd.get(), &status) != 0) detail::fail("looking at", path);
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
    if (n < 0) detail::fail("reading", path);
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
    if (!fd_) detail::fail("creating", path_);
  }
  ~new_file() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  new_file(const new_file&) = delete;
  new_file& operator=(const new_file&) = delete;

  int fd() const noexcept { return fd_.get(); }
  const std::string& path() const noexcept { return path_; }
  void replace(const std::string& target) {
    if (::rename(path_.c_str(), target.c_str()) != 0) detail::fail("replacing", target);
    path_.clear();
  }

 private:
  std::string path_;
  unique_fd fd_;
};

// That it has its new name is to be on the disk, too.
void sync_name(const new_file& made, const std::string& target) {
  const std::size_t slash = target.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : target.substr(0, std::max<std::size_t>(slash, 1));
  const unique_fd names(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (names) return detail::sync_all(names.get(), folder);
  // One that may be written and not read: all that its disk has to do.
  if (::syncfs(made.fd()) != 0) detail::fail("syncing", folder);
}

// The new one is to be whose the old one was, or a program that runs as its owner would run as whoever writes it here.
// The permissions come last: giving a file away takes some of them.
void be_like(const struct ::stat& before, const new_file& made, const std::string& target) {
  struct ::stat now{};
  if (::fstat(made.fd(), &now) != 0) detail::fail("looking at", made.path());
  if ((now.st_uid != before.st_uid || now.st_gid != before.st_gid) &&
      ::fchown(made.fd(), before.st_uid, before.st_gid) != 0) {
    const int error = errno;
    throw os_error::of(fmt::format("replacing {}: a new file cannot be given to its owner (user {}, group {}); write "
                                   "into it with io::file, or remove it first",
                                   target, before.st_uid, before.st_gid),
                       error);
  }
  if (::fchmod(made.fd(), before.st_mode & 07777U) != 0) detail::fail("setting the permissions of", made.path());
}

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
  // Whoever could open it before it has its permissions would read what is written later.
  new_file made(target, was_there ? 0600 : permissions);
  if (was_there) be_like(before, made, target);
  detail::write_all(made.fd(), content, std::nullopt, made.path());
  if (sync) detail::sync_all(made.fd(), made.path());
  made.replace(target);
  if (sync) sync_name(made, target);
}

}  // namespace

task<std::string> read_file(std::filesystem::path path, std::size_t most, time_limit limit) {
  const std::string name = detail::name_of(path);
  const auto result = std::make_shared<std::string>();
  auto work = [result, name, most] { *result = read_now(name, most); };
  const shared_future<void> call = detail::helpers().submit(std::move(work)).share();
  co_await detail::await_helper(call, detail::until(limit), "reading " + name);
  co_return std::move(*result);
}

task<> write_file(std::filesystem::path path, std::string content, write_file_options options) {
  const std::string name = detail::name_of(path);
  auto work = [name, content = std::move(content), permissions = options.permissions, sync = options.sync] {
    replace_now(name, content, permissions, sync);
  };
  const shared_future<void> call = detail::helpers().submit(std::move(work)).share();
  co_await detail::await_helper(call, detail::until(options.limit), "replacing " + name);
}

}  // namespace tutti::io
