#include <tutti/base/error.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/channel_ring.hpp>
#include <tutti/process/handle_transfer.hpp>
#include <tutti/process/ring_format.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace tutti::detail {

ring_reader::ring_reader(shared_memory memory, unique_fd socket)
    : ring_end(side::reads, std::move(memory), std::move(socket)) {
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
  if (is_broken()) need_open(reader_kind);
  throw closed("process_channel: the end that sends is gone, and all it had sent was received");
}

void ring_reader::broken(const char* why) {
  break_off();
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
  const waiting_word waits(control().reader_waits, std::uint32_t{1});
  const bool there = control().written.load(std::memory_order_seq_cst) != read_;
  return there ? woken::look : sleep(how, &early_);
}

arrival ring_reader::take(arrived_message& into, const message_wait& how) {
  if (is_broken()) return arrival::closed;
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

}  // namespace tutti::detail
