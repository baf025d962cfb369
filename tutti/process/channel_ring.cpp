#include <tutti/process/channel_ring.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/handle_transfer.hpp>
#include <tutti/process/message_sleep.hpp>
#include <tutti/process/process_futex.hpp>
#include <tutti/process/ring_bytes.hpp>
#include <tutti/process/ring_format.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <string>

namespace tutti::detail {

ring_end::ring_end(side which, shared_memory memory, unique_fd socket)
    : memory_(std::move(memory)), socket_(std::move(socket)), state_(state::open), side_(which) {
  holder(side_).store(this_process(), std::memory_order_relaxed);
}

ring_end::ring_end(ring_end&& other) noexcept
    : giveable(other),
      memory_(std::move(other.memory_)),
      socket_(std::move(other.socket_)),
      state_(std::exchange(other.state_, state::none)),
      side_(other.side_) {}

ring_end& ring_end::operator=(ring_end&& other) noexcept {
  memory_ = std::exchange(other.memory_, shared_memory());
  socket_ = std::move(other.socket_);
  state_ = std::exchange(other.state_, state::none);
  return *this;
}

void ring_end::close() noexcept {
  socket_.reset();
  memory_ = shared_memory();
  state_ = state::closed;
}

void ring_end::given() noexcept {
  close();
  state_ = state::given;
}

void ring_end::break_off() noexcept {
  socket_.reset();
  state_ = state::broken;
}

void ring_end::need_open(const char* kind) const {
  if (state_ == state::open) [[likely]]
    return;
  if (is_broken()) throw closed(std::string(kind) + ": an earlier error has ended this channel");
  throw std::logic_error(std::string(kind) +
                         (state_ == state::given    ? ": this end was given away when it was sent or submitted; only "
                                                      "who received it can use it"
                          : state_ == state::closed ? ": this end was closed"
                                                    : ": this end is empty or was moved away; pair() and simplex() "
                                                      "make ends"));
}

ring_control& ring_end::control() const noexcept {
  return *std::launder(reinterpret_cast<ring_control*>(memory_.data()));
}

std::atomic<process_key>& ring_end::holder(side which) const noexcept {
  return control().holders[static_cast<std::size_t>(which)];
}

void ring_end::note_holder() const noexcept { holder(side_).store(this_process(), std::memory_order_release); }

std::size_t ring_end::ring_size() const noexcept { return memory_.size() - control_bytes; }

void ring_end::copy_in(std::uint64_t at, const char* from, std::size_t size) noexcept {
  copy_into_ring({memory_.data() + control_bytes, ring_size()}, at & (ring_size() - 1), from, size);
}

void ring_end::copy_out(std::uint64_t at, char* to, std::size_t size) const noexcept {
  copy_from_ring({memory_.data() + control_bytes, ring_size()}, at & (ring_size() - 1), to, size);
}

bool ring_end::ring_bell() const noexcept {
  // EAGAIN: so much is waiting there that it will wake anyway.
  return ::send(socket_.get(), &bell, 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || (errno != EPIPE && errno != ECONNRESET);
}

bool ring_end::peer_is_gone() const noexcept {
  ::pollfd one{socket_.get(), 0, 0};
  return ::poll(&one, 1, 0) > 0 && (one.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

bool ring_end::peer_is_dead() const noexcept {
  const std::atomic<process_key>& other = holder(side_ == side::reads ? side::writes : side::reads);
  const process_key peer = other.load(std::memory_order_acquire);
  // It may have given its end away before it died: then, as the kernel has said that it did, the word shows that.
  return peer != 0 && !is_running(peer) && other.load(std::memory_order_acquire) == peer;
}

ring_end::woken ring_end::listen(int flags, std::optional<std::vector<unique_fd>>* handles) {
  char what = 0;
  std::vector<unique_fd> arrived;
  const ::ssize_t n = receive_with_handles(socket_.get(), &what, 1, arrived, flags).size;
  if (n == 0) return woken::gone;
  if (n < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return woken::time_up;
    throw os_error::of("cannot listen to another process", errno);
  }
  if (handles == nullptr || what != descriptors) return woken::look;
  if (*handles) {
    break_off();
    throw decode_error("process_channel: descriptors came without a message");
  }
  *handles = std::move(arrived);  // fewer than were sent when we may have no more: the message will miss them
  return woken::look;
}

ring_end::woken ring_end::sleep(const message_wait& how, std::optional<std::vector<unique_fd>>* handles) {
  const message_sleep asleep(this, how, "process_channel");
  note_holder();  // also if it was to be given away, and was not
  while (!poll_until(socket_.get(), POLLIN, how.at_most(slow_look))) {
    if (peer_is_dead()) return woken::gone;
    if (how.is_over()) return woken::time_up;
  }
  const woken result = listen(MSG_DONTWAIT, handles);
  return result == woken::time_up ? woken::look : result;
}

travelling_ring ring_end::give(const char* kind, const std::optional<std::vector<unique_fd>>& early) {
  need_open(kind);
  travelling_ring result;
  result.memory = attach_duplicate(memory_.fd(), kind);
  result.socket = attach_duplicate(socket_.get(), kind);
  result.has_early = early.has_value();
  if (early) {
    for (const unique_fd& one : *early) result.early.push_back(attach_duplicate(one.get(), kind));
  }
  holder(side_).store(0, std::memory_order_release);  // before it can be taken over
  giving::encoded(*this);
  return result;
}

std::pair<shared_memory, unique_fd> ring_end::take_parts(const travelling_ring& from, const char* kind) {
  shared_memory memory(take_handle(from.memory, kind), kind);
  unique_fd socket = take_handle(from.socket, kind);
  const std::size_t size = memory.size() - std::min(memory.size(), control_bytes);
  if (size < 64 || !std::has_single_bit(size) ||
      std::launder(reinterpret_cast<ring_control*>(memory.data()))->magic != ring_magic)
    throw decode_error("not the shared memory of " + std::string(kind));
  return {std::move(memory), std::move(socket)};
}

std::pair<ring_reader, ring_writer> make_ring(std::size_t size) {
  shared_memory memory(control_bytes + size, "process_channel");
  ::new (memory.data())
      ring_control{.magic = ring_magic, .written = 0, .read = 0, .reader_waits = 0, .writer_wants = 0, .holders = {}};
  const int copy = ::fcntl(memory.fd(), F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw os_error::of("cannot make a process_channel", errno);
  shared_memory same{unique_fd(copy), "process_channel"};
  auto [one, other] = connected_sockets("process_channel");
  return {ring_reader(std::move(memory), std::move(one)), ring_writer(std::move(same), std::move(other))};
}

}  // namespace tutti::detail
