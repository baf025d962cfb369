#include <tutti/process/named_channel_core.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/message_sleep.hpp>
#include <tutti/process/no_sigpipe.hpp>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace tutti::detail {

std::uint32_t check_of(const piece_head& head) noexcept {
  std::uint64_t sum = 0x9e3779b97f4a7c15;
  for (const std::uint64_t part :
       {head.sender, head.left, std::uint64_t{head.number}, std::uint64_t{head.size} << 16 | head.flags}) {
    sum = (sum ^ part) * 0xff51afd7ed558ccd;
    sum ^= sum >> 32;
  }
  return static_cast<std::uint32_t>(sum);
}

namespace {

constexpr std::uint32_t piece_magic = 0x21747574;  // "tut!"
constexpr std::uint16_t begins = 1, given_up = 2;
constexpr std::size_t piece_bytes = PIPE_BUF - sizeof(piece_head);
constexpr std::size_t read_bytes = std::size_t{128} << 10;
constexpr std::size_t most_begun = 1000;
static_assert(sizeof(piece_head) == 32);

bool is_head(const piece_head& head) noexcept {
  return head.magic == piece_magic && head.check == check_of(head) && head.size <= piece_bytes &&
         head.size <= head.left && head.left <= most_named_message_bytes;
}

// False when the time is up.
bool wait_for(const fifo& at, short events, const message_wait& how) {
  if (how.is_over()) return false;
  const message_sleep asleep(&at, how, "named_channel", at.path());
  return poll_until(at.fd(), events, how);
}

std::string name_of(const fifo& of) { return "named_channel \"" + of.path() + '"'; }

}  // namespace

// ---- sending

named_sink::named_sink(fifo to) : to_(std::move(to)), self_(0) {
  if (::getrandom(&self_, sizeof self_, 0) != sizeof self_) throw os_error::of("cannot get a random number", errno);
}

named_sink::written named_sink::write(const piece_head& head, std::string_view bytes) {
  ::iovec parts[2] = {{const_cast<piece_head*>(&head), sizeof head}, {const_cast<char*>(bytes.data()), bytes.size()}};
  for (;;) {
    if (::writev(to_.fd(), parts, 2) >= 0) return written::yes;
    if (errno == EAGAIN) return written::not_now;
    if (errno == EPIPE) return written::nobody_reads;
    if (errno != EINTR) throw os_error::of(name_of(to_) + ": cannot write", errno);
  }
}

bool named_sink::write_until(piece_head& head, std::string_view bytes, const message_wait& how) {
  head.magic = piece_magic;
  head.check = check_of(head);
  for (;;) {
    switch (write(head, bytes)) {
      case written::yes: return true;
      case written::nobody_reads: nobody_reads_ = true; return false;
      case written::not_now:
        if (!wait_for(to_, POLLOUT, how)) return false;
    }
  }
}

bool named_sink::put(std::string_view bytes, const message_wait& how) {
  if (!is_open()) throw std::logic_error("named_channel's writer: this end was closed");
  if (bytes.size() > most_named_message_bytes) {
    throw encode_error(name_of(to_) + ": an element of " + std::to_string(bytes.size()) + " bytes; at most " +
                       std::to_string(most_named_message_bytes) + " can be sent; send its parts");
  }
  ++number_;
  piece_head head{
      .magic = 0, .check = 0, .sender = self_, .left = bytes.size(), .number = number_, .size = 0, .flags = begins};
  no_sigpipe quiet;
  bool first = true;
  while (!nobody_reads_) {
    head.size = static_cast<std::uint16_t>(std::min(bytes.size(), piece_bytes));
    head.left = bytes.size();
    if (!first) half_written_ = true;  // until its last piece is out, also when this throws
    if (!write_until(head, bytes.substr(0, head.size), how)) {
      if (nobody_reads_) quiet.raised();
      if (nobody_reads_) break;
      return false;
    }
    first = false;
    head.flags = 0;
    bytes.remove_prefix(head.size);
    half_written_ = !bytes.empty();
    if (bytes.empty()) return true;
  }
  throw closed(name_of(to_) + ": nobody receives any more; this was not sent");
}

// Who has given up in the middle of a message says so, if there is room to: else it looks killed.
void named_sink::finish() noexcept {
  if (!is_open() || !half_written_ || nobody_reads_) return;
  half_written_ = false;
  piece_head head{
      .magic = piece_magic, .check = 0, .sender = self_, .left = 0, .number = number_, .size = 0, .flags = given_up};
  head.check = check_of(head);
  no_sigpipe quiet;
  try {
    if (write(head, {}) == written::nobody_reads) quiet.raised();
  } catch (const std::exception&) {
  }
}

void named_sink::close() noexcept {
  finish();
  to_.close();
}

// ---- receiving

named_source::named_source(fifo from) : from_(std::move(from)) {
  buffer_.reserve(read_bytes);
  // Fewer wake-ups for large elements; the kernel may refuse it.
  static_cast<void>(::fcntl(from_.fd(), F_SETPIPE_SZ, 1 << 20));
}

void named_source::refuse() const {
  throw closed(name_of(from_) + ": all who sent are gone, and all that they had sent was received");
}

void named_source::broken(const std::string& why) const { throw decode_error(name_of(from_) + ": " + why); }

named_source::filled named_source::fill() {
  if (ended_) return filled::end;
  if (first_ != 0) {
    std::memmove(buffer_.data(), buffer_.data() + first_, last_ - first_);
    last_ -= first_;
    first_ = 0;
  }
  for (;;) {
    const ::ssize_t n = ::read(from_.fd(), buffer_.data() + last_, buffer_.size() - last_);
    if (n > 0) {
      last_ += static_cast<std::size_t>(n);
      return filled::more;
    }
    if (n == 0) {
      ended_ = true;  // for good, whoever may open it later: as every channel
      from_.close();  // who does must not take us for somebody who receives
      return filled::end;
    }
    if (errno == EAGAIN) return filled::not_now;
    if (errno != EINTR) throw os_error::of(name_of(from_) + ": cannot read", errno);
  }
}

// True with a piece at first_, whole; false when more must be read.
bool named_source::next_piece(piece_head& head) {
  if (last_ - first_ < sizeof head) return false;
  std::memcpy(&head, buffer_.data() + first_, sizeof head);
  if (!is_head(head)) skip_nonsense();
  return last_ - first_ - sizeof head >= head.size;
}

// Somebody else has written: what is here, up to where a piece may begin, is dropped.
void named_source::skip_nonsense() {
  char magic[sizeof piece_magic];
  std::memcpy(magic, &piece_magic, sizeof magic);
  const char* const begin = buffer_.data() + first_;
  const char* const end = buffer_.data() + last_;
  const char* const next = std::search(begin + 1, end, std::begin(magic), std::end(magic));
  first_ += static_cast<std::size_t>(next - begin);
  broken(std::to_string(next - begin) + " bytes that are no message: another program writes to it, or another version");
}

// Of many that were begun, the one that has had no piece for the longest time is that of a killed sender.
void named_source::forget_oldest() {
  begun_.erase(std::min_element(begun_.begin(), begun_.end(), [](const auto& one, const auto& other) {
    return one.second.last_piece < other.second.last_piece;
  }));
  ++forgotten_;
}

// True when a message is complete.
bool named_source::use_piece(const piece_head& head, const char* bytes, arrived_message& into) {
  if (head.flags == given_up) {
    begun_.erase(head.sender);
    return false;
  }
  const auto found = begun_.find(head.sender);
  if ((head.flags & begins) != 0) {
    if (found != begun_.end()) begun_.erase(found);  // given up by its sender, who said so to its caller
    if (head.size == head.left) {
      into.bytes = {bytes, head.size};
      return true;
    }
    if (begun_.size() == most_begun) forget_oldest();
    begun& fresh = begun_[head.sender];
    fresh.left = head.left;
    fresh.number = head.number;
  }
  const auto at = begun_.find(head.sender);
  if (at == begun_.end() || at->second.left != head.left || at->second.number != head.number) {
    if (at != begun_.end()) begun_.erase(at);
    if (skipped_sender_ == head.sender && skipped_number_ == head.number) return false;
    skipped_sender_ = head.sender;
    skipped_number_ = head.number;
    broken("a message without its beginning, which an earlier receiver may have taken; it is dropped");
  }
  begun& message = at->second;
  const std::size_t end = message.got + head.size;
  // Never as much as it says at once: only what has really come.
  if (end > message.bytes.size()) message.bytes.reserve(std::min(2 * end, message.got + head.left), message.got);
  std::memcpy(message.bytes.data() + message.got, bytes, head.size);
  message.got = end;
  message.left -= head.size;
  message.last_piece = ++pieces_;
  if (message.left != 0) return false;
  whole_.emplace(std::move(message));
  begun_.erase(at);
  into.bytes = {whole_->bytes.data(), whole_->got};
  return true;
}

arrival named_source::take(arrived_message& into, const message_wait& how) {
  if (!is_open()) throw std::logic_error("named_channel's reader: this end was closed");
  whole_.reset();
  for (;;) {
    piece_head head{};
    while (next_piece(head)) {
      const char* const bytes = buffer_.data() + first_ + sizeof head;
      first_ += sizeof head + head.size;
      if (use_piece(head, bytes, into)) return arrival::message;
    }
    switch (fill()) {
      case filled::more: break;
      case filled::not_now:
        if (!wait_for(from_, POLLIN, how)) return arrival::not_now;
        break;
      case filled::end: {
        const std::size_t torn = std::exchange(last_, 0) - std::exchange(first_, 0);
        const std::size_t lost = begun_.size() + std::exchange(forgotten_, 0);
        begun_.clear();
        if (torn != 0) broken(std::to_string(torn) + " bytes that are no message, and then the end");
        if (lost == 0) return arrival::closed;
        throw closed(name_of(from_) + ": all who sent are gone, " + std::to_string(lost) +
                     " of them in the middle of a message, which is lost");
      }
    }
  }
}

}  // namespace tutti::detail
