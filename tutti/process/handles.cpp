#include <tutti/process/handles.hpp>

#include <tutti/base/error.hpp>

#include <fcntl.h>

#include <cerrno>
#include <string>
#include <utility>

namespace tutti::detail {
namespace {

constinit thread_local outgoing_handles* outgoing = nullptr;
constinit thread_local incoming_handles* incoming = nullptr;

}  // namespace

outgoing_handles::outgoing_handles() noexcept : outer_(std::exchange(outgoing, this)) {}
outgoing_handles::~outgoing_handles() { outgoing = outer_; }

incoming_handles::incoming_handles(std::vector<unique_fd> handles) noexcept
    : handles_(std::move(handles)), outer_(std::exchange(incoming, this)) {}
incoming_handles::~incoming_handles() { incoming = outer_; }

std::uint32_t attach_handle(unique_fd fd, std::string_view what) {
  if (outgoing == nullptr) {
    throw encode_error(std::string(what) +
                       " can only be encoded for a process of this machine: as an argument or a result of process, "
                       "process_pool, process_channel or process_queue");
  }
  outgoing->handles_.push_back(std::move(fd));
  return static_cast<std::uint32_t>(outgoing->handles_.size() - 1);
}

std::uint32_t attach_duplicate(int fd, std::string_view what) {
  if (outgoing == nullptr) return attach_handle(unique_fd(), what);
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw os_error::of("cannot hand on " + std::string(what), errno);
  return attach_handle(unique_fd(copy), what);
}

unique_fd take_handle(std::uint32_t number, std::string_view what) {
  if (incoming == nullptr || number >= incoming->handles_.size() || !incoming->handles_[number])
    throw decode_error("the descriptor of " + std::string(what) + " did not come along");
  return std::move(incoming->handles_[number]);
}

}  // namespace tutti::detail
