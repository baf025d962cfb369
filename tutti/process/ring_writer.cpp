#include <tutti/base/error.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/channel_ring.hpp>
#include <tutti/process/handle_transfer.hpp>
#include <tutti/process/message_sleep.hpp>
#include <tutti/process/process_futex.hpp>
#include <tutti/process/ring_format.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>

namespace tutti::detail {
namespace {

// A few milliseconds fine, and almost free.
std::int64_t coarse_now() noexcept {
  ::timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

ring_writer::ring_writer(shared_memory memory, unique_fd socket)
    : ring_end(side::writes, std::move(memory), std::move(socket)) {
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
  note_holder();  // a forked child goes on with what its parent had
  if (peer_is_gone()) refuse();
}

std::size_t ring_writer::room() {
  const std::uint64_t used = written_ - read_;
  if (used > ring_size()) {
    break_off();
    throw decode_error("process_channel: the end that receives has written nonsense into the shared memory");
  }
  return ring_size() - used;
}

ring_end::woken ring_writer::wait_for_bell(std::size_t size, const message_wait& how) {
  const waiting_word wants(control().writer_wants, std::uint64_t{size});
  read_ = control().read.load(std::memory_order_seq_cst);
  return room() >= size ? woken::look : sleep(how, nullptr);
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
    const woken why = wait_for_bell(size, how);
    if (why == woken::gone) refuse();
    if (look()) return true;
    if (why == woken::time_up) return false;
  }
}

bool ring_writer::send_handles(std::span<const unique_fd> handles, int last, const message_wait& how) {
  if (handles.empty() && last < 0) return true;
  const std::vector<int> numbers = numbers_of(handles, last);
  std::chrono::nanoseconds pause = std::chrono::milliseconds(1);
  while (send_with_handles(socket_.get(), &descriptors, 1, numbers, MSG_DONTWAIT) < 0) {
    if (errno == EPIPE || errno == ECONNRESET) refuse();
    const bool too_many = errno == ETOOMANYREFS;
    if (!too_many && errno != EAGAIN && errno != EWOULDBLOCK)
      throw os_error::of("process_channel: cannot send " + std::to_string(numbers.size()) + " descriptors", errno);
    if (how.is_over()) return false;
    const message_sleep asleep(this, how, "process_channel");
    if (!too_many) {
      if (!poll_until(socket_.get(), POLLOUT, how)) return false;
    } else {
      // All programs of this user have too many on their way, and nobody tells when they are fewer.
      poll_until(socket_.get(), 0, how.at_most(pause));
      pause = std::min<std::chrono::nanoseconds>(2 * pause, slow_look);
    }
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
  return can_stream ? put_in_pieces(bytes, handles, how) : put_aside(bytes, handles, how);
}

bool ring_writer::put_in_pieces(std::string_view bytes, std::span<const unique_fd> handles, const message_wait& how) {
  // When a part of it is out there is no way back. So who may not wait is told before.
  std::optional<message_sleep> asleep;
  try {
    asleep.emplace(this, how, "process_channel");
  } catch (const error&) {  // but it need not wait for what can go at once
    if (put_aside(bytes, handles, message_wait::never(how.what, how.here))) return true;
    throw;
  }
  message_wait counted = how;
  counted.is_counted = true;
  wait_for_room(word, counted);
  send_handles(handles, -1, counted);
  const std::uint64_t header = header_of(plain, handles.size(), bytes.size());
  write(&header, word);
  try {
    publish();
    stream(bytes, counted);
  } catch (...) {
    break_off();  // half of it is out: the other side must not wait for the rest
    throw;
  }
  return true;
}

// All or nothing, where it does not fit.
bool ring_writer::put_aside(std::string_view bytes, std::span<const unique_fd> handles, const message_wait& how) {
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

}  // namespace tutti::detail
