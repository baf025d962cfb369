#include <tutti/process/stream_plan.hpp>

#include <tutti/base/error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>

namespace tutti {
namespace {

constexpr const char* stream_names[] = {"standard input", "standard output", "standard error"};

std::string what_for(int stream, const std::string& name) {
  return std::string(stream_names[stream]) + " of process \"" + name + '"';
}

unique_fd open_for(int stream, const std::string& path, bool append, const std::string& name) {
  const int flags = stream == 0 ? O_RDONLY : O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC);
  unique_fd fd(::open(path.c_str(), flags | O_CLOEXEC, 0666));
  if (!fd) throw os_error::of("cannot open \"" + path + "\" as " + what_for(stream, name), errno);
  return fd;
}

}  // namespace

stream_plan::stream_plan(const stdio& in, const stdio& out, const stdio& err, const std::string& name,
                         detail::launch_request& request) {
  const std::array<stdio, 3> wanted = {in, out, err};
  for (int n = 0; n < 3; ++n) {
    const stdio& stream = wanted[static_cast<std::size_t>(n)];
    int fd = -1;
    switch (stream.kind_) {
      case stdio::kind::inherit:
        // Ours now, not those that the launcher process has had since it was started.
        fd = n;
        if (::fcntl(fd, F_GETFD) < 0) fd = opened_.emplace_back(open_for(n, "/dev/null", true, name)).get();
        break;
      case stdio::kind::null: fd = opened_.emplace_back(open_for(n, "/dev/null", true, name)).get(); break;
      case stdio::kind::file:
      case stdio::kind::append:
        fd = opened_.emplace_back(open_for(n, std::string(stream.path_), stream.kind_ == stdio::kind::append, name))
                 .get();
        break;
      case stdio::kind::pipe: {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw os_error::of("cannot make a pipe for " + what_for(n, name), errno);
        fd = opened_.emplace_back(ends[n == 0 ? 0 : 1]).get();
        pipes_[n].reset(ends[n == 0 ? 1 : 0]);
        break;
      }
      case stdio::kind::descriptor:
        if (::fcntl(stream.fd_, F_GETFD) < 0) {
          throw os_error::of("cannot use descriptor " + std::to_string(stream.fd_) + " as " + what_for(n, name), errno);
        }
        fd = stream.fd_;
        break;
      case stdio::kind::output:
        if (n != 2) throw std::invalid_argument("stdio::output() is for standard error, not for " + what_for(n, name));
        request.merge_error = true;
        continue;
    }
    request.streams[static_cast<std::size_t>(n)] = static_cast<std::int32_t>(handles_.size());
    handles_.push_back(fd);
  }
}

}  // namespace tutti
