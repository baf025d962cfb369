#include <tutti/process/channel_ring.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/blocking_wait.hpp>
#include <tutti/core/cpu.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/message_socket.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <new>
#include <stdexcept>
#include <string>

namespace tutti::detail {

/// The first page of the memory; the ring follows.
struct ring_control {
  std::uint64_t magic;
  alignas(cpu::cache_line) std::atomic<std::uint64_t> written;
  alignas(cpu::cache_line) std::atomic<std::uint64_t> read;
  alignas(cpu::cache_line) std::atomic<std::uint32_t> reader_waits;
  alignas(cpu::cache_line) std::atomic<std::uint64_t> writer_wants;  // so many free bytes; 0: does not wait
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

namespace {

constexpr std::size_t control_bytes = 4096;
static_assert(sizeof(ring_control) <= control_bytes);
constexpr std::uint64_t ring_magic = 0x31676e6972747574;  // "tutring1"

// A message is a word, then its bytes, filled up to a multiple of 8; so the word is never cut in two.
//   bits 0-47: bytes; 48-55: descriptors; 56-63: what it is
constexpr std::uint64_t plain = 0x5a, in_memory = 0x5b;  // in_memory: its size is here, it is in the last descriptor
constexpr std::size_t word = sizeof(std::uint64_t);
constexpr std::uint64_t size_mask = (std::uint64_t{1} << 48) - 1;

constexpr std::uint64_t header_of(std::uint64_t kind, std::size_t handles, std::size_t size) noexcept {
  return kind << 56 | static_cast<std::uint64_t>(handles) << 48 | size;
}
constexpr std::uint64_t kind_of_header(std::uint64_t header) noexcept { return header >> 56; }
constexpr std::size_t handles_of(std::uint64_t header) noexcept { return (header >> 48) & 0xff; }
constexpr std::size_t size_of(std::uint64_t header) noexcept { return header & size_mask; }
constexpr std::size_t filled(std::size_t size) noexcept { return (size + word - 1) / word * word; }

constexpr char bell = 'b', descriptors = 'd';

// A few milliseconds fine, and almost free.
std::int64_t coarse_now() noexcept {
  ::timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

// False when the time is up.
bool poll_until(int fd, short events, const message_wait& how) {
  ::pollfd one{fd, events, 0};
  for (;;) {
    const auto left = how.left();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const ::timespec limit{seconds.count(), (left - seconds).count()};
    const int n = ::ppoll(&one, 1, how.is_endless() ? nullptr : &limit, nullptr);
    if (n > 0) return true;
    if (n == 0) return false;
    if (errno != EINTR) throw os_error::of("cannot wait for another process", errno);
  }
}

}  // namespace

ring_end::ring_end(shared_memory memory, unique_fd socket)
    : memory_(std::move(memory)), socket_(std::move(socket)), state_(state::open) {}

ring_end::ring_end(ring_end&& other) noexcept
    : giveable(other),
      memory_(std::move(other.memory_)),
      socket_(std::move(other.socket_)),
      state_(std::exchange(other.state_, state::none)) {}

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

void ring_end::need_open(const char* kind) const {
  if (state_ == state::open) [[likely]]
    return;
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

std::size_t ring_end::ring_size() const noexcept { return memory_.size() - control_bytes; }

void ring_end::copy_in(std::uint64_t at, const char* from, std::size_t size) noexcept {
  const std::size_t start = at & (ring_size() - 1);
  const std::size_t first = std::min(size, ring_size() - start);
  std::byte* const ring = memory_.data() + control_bytes;
  std::memcpy(ring + start, from, first);
  if (first != size) std::memcpy(ring, from + first, size - first);
}

void ring_end::copy_out(std::uint64_t at, char* to, std::size_t size) const noexcept {
  const std::size_t start = at & (ring_size() - 1);
  const std::size_t first = std::min(size, ring_size() - start);
  const std::byte* const ring = memory_.data() + control_bytes;
  std::memcpy(to, ring + start, first);
  if (first != size) std::memcpy(to + first, ring, size - first);
}

bool ring_end::ring_bell() const noexcept {
  // EAGAIN: so much is waiting there that it will wake anyway.
  return ::send(socket_.get(), &bell, 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || (errno != EPIPE && errno != ECONNRESET);
}

bool ring_end::peer_is_gone() const noexcept {
  ::pollfd one{socket_.get(), 0, 0};
  return ::poll(&one, 1, 0) > 0 && (one.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

ring_end::woken ring_end::listen(int flags, std::optional<std::vector<unique_fd>>* handles) {
  char what = 0;
  ::iovec part{&what, 1};
  alignas(::cmsghdr) char rights[CMSG_SPACE(most_message_handles * sizeof(int))];
  for (;;) {
    ::msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (handles != nullptr) {
      header.msg_control = rights;
      header.msg_controllen = sizeof rights;
    }
    const ::ssize_t n = ::recvmsg(socket_.get(), &header, flags | MSG_CMSG_CLOEXEC);
    if (n == 0 || (n < 0 && errno == ECONNRESET)) return woken::gone;
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return woken::time_up;
      throw os_error::of("cannot listen to another process", errno);
    }
    if (handles == nullptr || what != descriptors) return woken::look;
    std::vector<unique_fd> arrived;
    for (::cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        arrived.emplace_back(fd);
      }
    }
    if (*handles) {
      close();
      throw decode_error("process_channel: descriptors came without a message");
    }
    *handles = std::move(arrived);  // fewer than were sent when we may have no more: the message will miss them
    return woken::look;
  }
}

ring_end::woken ring_end::sleep(const message_wait& how, const char* kind,
                                std::optional<std::vector<unique_fd>>* handles) {
  const wait_target target{this, wait_rule::unknown, kind, {}};
  const wait_how waits{.deadline = how.until ? &*how.until : nullptr,
                       .here = how.here,
                       .what = how.what,
                       .target = &target,
                       .instead = "a pool's submit() of it"};
  const blocking_wait blocked(this, waits);
  if (how.is_endless()) {
    const woken result = listen(0, handles);
    if (result != woken::time_up) return result;  // else somebody has made the socket non-blocking
  }
  if (!poll_until(socket_.get(), POLLIN, how)) return woken::time_up;
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
  giving::encoded(*this);
  return result;
}

namespace {

std::pair<shared_memory, unique_fd> take_parts(const travelling_ring& from, const char* kind) {
  shared_memory memory(take_handle(from.memory, kind), kind);
  unique_fd socket = take_handle(from.socket, kind);
  const std::size_t size = memory.size() - std::min(memory.size(), control_bytes);
  if (size < 64 || !std::has_single_bit(size) ||
      std::launder(reinterpret_cast<ring_control*>(memory.data()))->magic != ring_magic)
    throw decode_error("not the shared memory of " + std::string(kind));
  return {std::move(memory), std::move(socket)};
}

constexpr const char* writer_kind = "process_channel's writer";
constexpr const char* reader_kind = "process_channel's reader";

}  // namespace

// ---- the writer

ring_writer::ring_writer(shared_memory memory, unique_fd socket) : ring_end(std::move(memory), std::move(socket)) {
  written_ = control().written.load(std::memory_order_relaxed);
  read_ = control().read.load(std::memory_order_acquire);
}

travelling_ring ring_writer::give() { return ring_end::give(writer_kind, {}); }

void ring_writer::take_over(const travelling_ring& from) {
  auto [memory, socket] = take_parts(from, writer_kind);
  *this = ring_writer(std::move(memory), std::move(socket));
}

void ring_writer::refuse() const { throw closed("process_channel: the end that receives is gone; this was not sent"); }

// A reader that is not waiting is not rung, and its end would show only when the ring is full. One look per tick of
// the coarse clock costs nothing.
void ring_writer::look_after_peer() {
  const std::int64_t now = coarse_now();
  if (now == looked_at_) return;
  looked_at_ = now;
  if (peer_is_gone()) refuse();
}

std::size_t ring_writer::room() {
  const std::uint64_t used = written_ - read_;
  if (used > ring_size()) {
    close();
    throw closed("process_channel: the end that receives has written nonsense into the shared memory");
  }
  return ring_size() - used;
}

bool ring_writer::wait_for_room(std::size_t size, const message_wait& how) {
  if (room() >= size) return true;
  const auto look = [&] {
    read_ = control().read.load(std::memory_order_acquire);
    return room() >= size;
  };
  if (look()) return true;
  if (how.waits_not) {
    if (peer_is_gone()) refuse();
    return false;
  }
  for (spinner spin(spinner::before_sleep); spin.once();) {
    if (look()) return true;
  }
  for (;;) {
    control().writer_wants.store(size, std::memory_order_seq_cst);
    read_ = control().read.load(std::memory_order_seq_cst);
    const bool there = room() >= size;
    const woken why = there ? woken::look : sleep(how, "process_channel", nullptr);
    control().writer_wants.store(0, std::memory_order_relaxed);
    if (why == woken::gone) refuse();
    if (look()) return true;
    if (why == woken::time_up) return false;
  }
}

bool ring_writer::send_handles(std::span<const unique_fd> handles, int last, const message_wait& how) {
  std::vector<int> fds;
  for (const unique_fd& one : handles) fds.push_back(one.get());
  if (last >= 0) fds.push_back(last);
  if (fds.empty()) return true;
  char what = descriptors;
  ::iovec part{&what, 1};
  alignas(::cmsghdr) char control[CMSG_SPACE(most_message_handles * sizeof(int))];
  ::msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
  ::cmsghdr* const rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
  while (::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EPIPE || errno == ECONNRESET) refuse();
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
      throw os_error::of("process_channel: cannot send " + std::to_string(fds.size()) + " descriptors", errno);
    if (how.is_over()) return false;
    const wait_how waits{.here = how.here, .what = how.what, .instead = "a pool's submit() of it"};
    const blocking_wait blocked(this, waits);
    if (!poll_until(socket_.get(), POLLOUT, how)) return false;
  }
  return true;
}

void ring_writer::write(const void* from, std::size_t size) noexcept {
  copy_in(written_, static_cast<const char*>(from), size);
  written_ += size;
}

void ring_writer::publish() {
  control().written.store(written_, std::memory_order_seq_cst);
  if (control().reader_waits.load(std::memory_order_seq_cst) == 0) [[likely]]
    return;
  if (control().reader_waits.exchange(0, std::memory_order_seq_cst) != 0 && !ring_bell()) refuse();
}

bool ring_writer::put(std::string_view bytes, std::span<const unique_fd> handles, const message_wait& how) {
  need_open(writer_kind);
  if (handles.size() + 1 > most_message_handles || bytes.size() > size_mask) {
    throw encode_error("process_channel: a message of " + std::to_string(bytes.size()) + " bytes and " +
                       std::to_string(handles.size()) + " descriptors; at most " +
                       std::to_string(most_message_handles - 1) + " descriptors can go in one");
  }
  look_after_peer();
  const std::size_t whole = word + filled(bytes.size());
  const bool can_stream = how.is_endless();
  if (whole <= ring_size() / (can_stream ? 2 : 1)) {
    if (!wait_for_room(whole, how) || !send_handles(handles, -1, how)) return false;
    const std::uint64_t header = header_of(plain, handles.size(), bytes.size());
    write(&header, word);
    copy_in(written_, bytes.data(), bytes.size());
    written_ += filled(bytes.size());
    publish();
    return true;
  }
  if (can_stream) {
    wait_for_room(word, how);
    send_handles(handles, -1, how);
    const std::uint64_t header = header_of(plain, handles.size(), bytes.size());
    write(&header, word);
    try {
      publish();
      stream(bytes, how);
    } catch (...) {
      close();  // half of it is out: the other side must not wait for the rest
      throw;
    }
    return true;
  }
  // All or nothing, and it does not fit: it goes beside the ring.
  if (!wait_for_room(2 * word, how)) return false;
  const shared_memory aside(bytes.size(), "a process_channel's message");
  std::memcpy(aside.data(), bytes.data(), bytes.size());
  if (!send_handles(handles, aside.fd(), how)) return false;
  const std::uint64_t words[] = {header_of(in_memory, handles.size() + 1, word), bytes.size()};
  write(words, sizeof words);
  publish();
  return true;
}

void ring_writer::stream(std::string_view bytes, const message_wait& how) {
  constexpr char nothing[word] = {};
  // Large enough to be worth a wake-up, small enough that both sides work at the same time.
  const std::size_t piece = std::max(ring_size() / 4, word);
  const std::size_t fill = filled(bytes.size()) - bytes.size();
  while (!bytes.empty()) {
    wait_for_room(std::min(bytes.size() + fill, piece), how);
    const std::size_t n = std::min(bytes.size(), piece);
    write(bytes.data(), n);
    bytes.remove_prefix(n);
    if (bytes.empty() && room() >= fill) break;
    publish();
  }
  wait_for_room(fill, how);
  write(nothing, fill);
  publish();
}

// ---- the reader

ring_reader::ring_reader(shared_memory memory, unique_fd socket) : ring_end(std::move(memory), std::move(socket)) {
  read_ = control().read.load(std::memory_order_relaxed);
  written_ = read_;
}

travelling_ring ring_reader::give() {
  if (header_ != 0) {
    throw encode_error(
        "process_channel: this end is in the middle of a large message and cannot be given away; receive it first");
  }
  return ring_end::give(reader_kind, early_);
}

void ring_reader::take_over(const travelling_ring& from) {
  auto [memory, socket] = take_parts(from, reader_kind);
  ring_reader fresh(std::move(memory), std::move(socket));
  if (from.has_early) {
    fresh.early_.emplace();
    for (const std::uint32_t one : from.early) fresh.early_->push_back(take_handle(one, reader_kind));
  }
  *this = std::move(fresh);
}

void ring_reader::refuse() const {
  throw closed("process_channel: the end that sends is gone, and all it had sent was received");
}

void ring_reader::broken(const char* why) {
  close();
  throw decode_error(std::string("process_channel: the end that sends has written nonsense into the shared memory: ") +
                     why);
}

std::size_t ring_reader::available() {
  if (written_ == read_) written_ = control().written.load(std::memory_order_acquire);
  const std::uint64_t there = written_ - read_;
  if (there > ring_size()) broken("more than the ring can hold");
  return there;
}

// Gives what was read back to the writer.
void ring_reader::release() {
  control().read.store(read_, std::memory_order_seq_cst);
  const std::uint64_t wants = control().writer_wants.load(std::memory_order_seq_cst);
  if (wants == 0) [[likely]]
    return;
  // It does not write while it waits, so this is all that is there.
  const std::uint64_t used = control().written.load(std::memory_order_acquire) - read_;
  if (used > ring_size() || ring_size() - used < wants) return;
  if (control().writer_wants.exchange(0, std::memory_order_seq_cst) != 0) ring_bell();
}

bool ring_reader::begin_message() {
  if (header_ != 0) return true;
  const std::size_t there = available();
  if (there == 0) return false;
  if (there < word) broken("a piece of a word");
  copy_out(read_, reinterpret_cast<char*>(&header_), word);
  const std::uint64_t kind = kind_of_header(header_);
  if (handles_of(header_) > most_message_handles ||
      (kind != plain && !(kind == in_memory && size_of(header_) == word && handles_of(header_) > 0)))
    broken("no message begins here");
  read_ += word;
  got_ = 0;
  return true;
}

// Copies what is there of the message; true when it is complete.
bool ring_reader::fetch() {
  const std::size_t size = size_of(header_);
  const std::size_t whole = filled(size);
  while (got_ < whole) {
    const std::size_t n = std::min(available(), whole - got_);
    if (n == 0) {
      release();
      return false;
    }
    const std::size_t end = std::min(got_ + n, size);
    // Never as much as it says at once: only what has really come.
    if (end > message_.size()) message_.reserve(std::min(size, std::max(2 * end, std::size_t{1} << 20)), got_);
    if (got_ < end) copy_out(read_, message_.data() + got_, end - got_);
    read_ += n;
    got_ += n;
    if (got_ < whole) release();
  }
  release();
  return true;
}

void ring_reader::finish(arrived_message& into) {
  const std::uint64_t header = std::exchange(header_, 0);
  into.bytes = {message_.data(), size_of(header)};
  if (handles_of(header) == 0) [[likely]]
    return;
  // They were sent before the message was published: they are here.
  while (!early_) {
    const woken heard = listen(MSG_DONTWAIT, &early_);
    if (heard != woken::look) broken("a message without its descriptors");
  }
  into.handles = std::move(*early_);
  early_.reset();
  if (into.handles.size() != handles_of(header)) {
    throw os_error::of("process_channel: a message is lost, as its " + std::to_string(handles_of(header)) +
                           " descriptors could not be taken over; raise the limit of open files",
                       EMFILE);
  }
  if (kind_of_header(header) != in_memory) return;
  std::uint64_t size = 0;
  std::memcpy(&size, message_.data(), word);
  const shared_memory aside(std::move(into.handles.back()), "a process_channel's message");
  into.handles.pop_back();
  if (size > aside.size()) broken("a message larger than its memory");
  message_.reserve(size);
  std::memcpy(message_.data(), aside.data(), size);
  into.bytes = {message_.data(), size};
}

ring_end::woken ring_reader::wait_for_bytes(const message_wait& how) {
  if (how.waits_not) return peer_is_gone() ? woken::gone : woken::time_up;
  const auto look = [&] { return control().written.load(std::memory_order_acquire) != read_; };
  for (spinner spin(spinner::before_sleep); spin.once();) {
    if (look()) return woken::look;
  }
  control().reader_waits.store(1, std::memory_order_seq_cst);
  const bool there = control().written.load(std::memory_order_seq_cst) != read_;
  const woken why = there ? woken::look : sleep(how, "process_channel", &early_);
  control().reader_waits.store(0, std::memory_order_relaxed);
  return why;
}

arrival ring_reader::take(arrived_message& into, const message_wait& how) {
  need_open(reader_kind);
  if (header_ == 0) message_.trim();
  woken why = woken::look;
  for (;;) {
    if (begin_message() && fetch()) {
      finish(into);
      return arrival::message;
    }
    // Looked once more after it was seen to be gone: all that it had published is there now.
    if (why == woken::gone) break;
    if (why == woken::time_up) return arrival::not_now;
    why = wait_for_bytes(how);
  }
  if (header_ == 0) return arrival::closed;
  const std::string text = "process_channel: the end that sends is gone in the middle of a message, of which " +
                           std::to_string(std::min(got_, size_of(header_))) + " of " +
                           std::to_string(size_of(header_)) + " bytes had come";
  header_ = 0;
  got_ = 0;
  throw closed(text);
}

std::pair<ring_reader, ring_writer> make_ring(std::size_t size) {
  shared_memory memory(control_bytes + size, "process_channel");
  ::new (memory.data())
      ring_control{.magic = ring_magic, .written = 0, .read = 0, .reader_waits = 0, .writer_wants = 0};
  const int copy = ::fcntl(memory.fd(), F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw os_error::of("cannot make a process_channel", errno);
  shared_memory same{unique_fd(copy), "process_channel"};
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    throw os_error::of("cannot make a process_channel", errno);
  return {ring_reader(std::move(memory), unique_fd(ends[0])), ring_writer(std::move(same), unique_fd(ends[1]))};
}

}  // namespace tutti::detail
