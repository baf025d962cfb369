#include <tutti/io/http/connection.hpp>

#include <tutti/io/http/message.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/until.hpp>

#include <fmt/format.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <ctime>

namespace tutti::io::http::detail {

using io::detail::until;
using namespace std::chrono_literals;

bool some_written::await_ready() {
  begin_once();
  io::detail::byte_stream& to = stream();
  if (to.is_written) occupy(to.is_written);  // throws
  if (bytes_.empty()) return true;
  if (to.where().may_write_on()) {
    std::error_code error;
    done_ = to.write_now(bytes_, error);
    if (error) return fail(error);
    if (done_ != 0) return true;
  }
  occupy(to.is_written);
  return false;
}

void some_written::begin_operation() noexcept {
  if (stream().may_be_tried_again()) not_taken_before_ = not_taken();
  stream().start_write(bytes_, *this);
}

std::size_t some_written::await_resume() {
  finish_stream();
  return done_;
}

bool some_written::is_through(std::error_code error, std::size_t bytes) noexcept {
  if (error) return fail(error);
  done_ = bytes;
  return bytes != 0;
}

int some_written::not_taken() const noexcept {
  int bytes = 0;
  return ::ioctl(stream().descriptor(), SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

bool some_written::has_moved() const noexcept {
  return stream().may_be_tried_again() && not_taken() < not_taken_before_;
}

connection::connection(stream s, parser::of reads, std::size_t most_head, std::chrono::nanoseconds progress)
    : connection(s.release(), reads, most_head, progress) {}

connection::connection(io::detail::byte_stream_ptr beneath, parser::of reads, std::size_t most_head,
                       std::chrono::nanoseconds progress)
    : parser_(reads, most_head),
      beneath_(beneath.get()),
      stream_(std::move(beneath)),
      most_input_(most_head + least_input),
      progress_(progress) {
  if (beneath_ != nullptr) out.swap(beneath_->behind);  // what a wrapper has left in the write buffer goes first
}

stream connection::release() {
  io::detail::byte_stream_ptr body = stream_.release();
  // Before what is behind it: a part of that may have been asked for already.
  body->ahead.insert(body->ahead_at, input_.get() + begin_, end_ - begin_);
  begin_ = end_;
  return stream(std::move(body));
}

bool connection::try_head(message_head& into) {
  const parser::step done = parser_.head({input_.get() + begin_, end_ - begin_}, into);
  begin_ += done.used;
  return done.complete;
}

mutable_buffer connection::room() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == capacity_) {
    if (begin_ == 0) {
      // The parser takes what it is given before that is as much as this.
      const std::size_t larger = std::min(std::max(2 * capacity_, least_input), most_input_);
      std::unique_ptr<char[]> moved(new char[larger]);
      if (end_ != 0) std::memcpy(moved.get(), input_.get(), end_);
      input_ = std::move(moved);
      capacity_ = larger;
    } else {
      std::memmove(input_.get(), input_.get() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
  }
  return {input_.get() + end_, capacity_ - end_};
}

// Waits see to it themselves, but who is always ready makes none necessary.
void connection::check_deadline(const char* doing) const {
  if (deadline_.left() == 0ns)
    throw timed_out(fmt::format("{} {} took longer than the limit of {}", doing, stream_.describe(),
                                io::detail::in_words(deadline_.limit())));
}

task<std::size_t> connection::read_body(mutable_buffer room_for_body) {
  while (!parser_.is_complete()) {
    if (has_input()) {
      const parser::step done = parser_.body({input_.get() + begin_, end_ - begin_}, room_for_body);
      begin_ += done.used;
      if (done.put != 0) co_return done.put;
      if (done.complete) break;
    }
    check_deadline("reading from");
    if (!out.empty()) co_await flush();
    const std::uint64_t plain = parser_.plain_left();
    std::size_t n = 0;
    if (plain != 0) {  // without a copy
      const mutable_buffer direct(room_for_body.data(), std::min<std::uint64_t>(plain, room_for_body.size()));
      n = co_await stream_.read_some(direct, patience());
      parser_.skip(n);
      if (n != 0) co_return n;
    } else {
      n = co_await stream_.read_some(room(), patience());
      took(n);
    }
    if (n == 0) parser_.end();
  }
  co_return std::size_t{0};
}

bool connection::drop_arrived() {
  std::array<char, 1024> dropped;
  while (has_input() && !parser_.is_complete()) {
    const parser::step done = parser_.body({input_.get() + begin_, end_ - begin_}, dropped);
    begin_ += done.used;
    if (done.used == 0) break;
  }
  return parser_.is_complete();
}

task<bool> connection::drop_body(std::size_t most, std::chrono::nanoseconds limit) {
  const struct restore {
    std::chrono::nanoseconds& progress;
    const std::chrono::nanoseconds before = progress;
    ~restore() { progress = before; }
  } at_end{progress_};
  const until end(limit);
  std::array<char, 4096> dropped;
  while (!parser_.is_complete()) {
    progress_ = std::min<std::chrono::nanoseconds>(at_end.before, end.left());
    const std::size_t n = co_await read_body(dropped);
    if (n > most) co_return false;
    most -= n;
  }
  co_return true;
}

void connection::check_written() const {
  if (write_failed_)
    throw closed(fmt::format("writing to {}: an earlier write has not gone through", stream_.describe()));
}

void connection::sent() noexcept {
  out.clear();
  if (out.capacity() > 4 * most_gathered) std::string().swap(out);
}

bool connection::flush_at_once() {
  check_written();
  some_written some(beneath_, out, no_limit);
  std::size_t n = 0;
  try {
    if (!some.await_ready()) return false;
    n = some.await_resume();
  } catch (const std::logic_error&) {  // somebody else writes: nothing of this has gone out
    throw;
  } catch (...) {
    write_failed_ = true;
    throw;
  }
  if (n == out.size()) {
    sent();
    return true;
  }
  out.erase(0, n);
  return false;
}

task<> connection::flush() {
  if (flush_at_once()) co_return;
  co_await send(out);
  sent();
}

task<> connection::write(const_buffer bytes) {
  check_written();
  const std::size_t gathered = std::min(bytes.size(), most_gathered - std::min(most_gathered, out.size()));
  out.append(bytes.text().substr(0, gathered));
  const_buffer rest = bytes.behind(gathered);
  if (rest.empty() && out.size() < most_gathered) co_return;
  co_await flush();
  co_await send(rest);
}

// Who takes nothing for a while is given up, not who takes it slowly.
task<> connection::send(const_buffer bytes) {
  constexpr std::size_t piece = 262'144;  // others of the loop wait while the system copies it
  check_written();
  std::exception_ptr late;
  while (!bytes.empty()) {
    write_failed_ = deadline_.left() == 0ns;
    check_deadline("writing to");
    some_written some(beneath_, const_buffer(bytes.data(), std::min(bytes.size(), piece)), patience());
    std::size_t n = 0;
    try {
      n = co_await some;
      late = nullptr;
    } catch (const timed_out&) {
      late = std::current_exception();
      write_failed_ = !some.has_moved();
    } catch (const closed&) {
      // Over TLS there is no other try: what was late is what has happened.
      write_failed_ = true;
      if (late == nullptr) throw;
    } catch (...) {
      write_failed_ = true;
      throw;
    }
    if (write_failed_) std::rethrow_exception(late);
    bytes = bytes.behind(n);
  }
}

task<> connection::linger() {
  // A socket that is closed with input unread tells its peer to forget what it has not read yet.
  try {
    until end(2s);
    progress_ = end.left();
    begin_ = end_;
    if (!out.empty()) co_await flush();
    co_await stream_.shutdown_write(end.left());
    std::array<char, 4096> dropped;
    for (std::size_t left = 1U << 20;;) {
      const std::size_t n = co_await stream_.read_some(dropped, end.left());
      if (n == 0 || n > left) break;
      left -= n;
    }
  } catch (const error&) {  // it is over either way
  }
}

void connection::break_off(bool by_reset) noexcept {
  if (!stream_) return;
  const ::linger at_once{.l_onoff = 1, .l_linger = 0};
  if (by_reset) ::setsockopt(beneath_->descriptor(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  beneath_->close_broken();
}

void put_status_line(std::string& out, int status) {
  const std::string_view words = reason(status);
  char digits[16];
  char* const end = std::to_chars(digits, digits + sizeof digits, status).ptr;
  out.append("HTTP/1.1 ").append(digits, end).append(" ").append(words).append("\r\n");
}

void put_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

void put_field(std::string& out, std::string_view name, std::uint64_t value) {
  char digits[24];
  char* const end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  put_field(out, name, std::string_view(digits, static_cast<std::size_t>(end - digits)));
}

bool put_fields(std::string& out, const fields& headers) {
  bool close = false;
  for (const fields::field f : headers) {
    if (same_word(f.name, "Content-Length") || same_word(f.name, "Transfer-Encoding")) continue;
    if (same_word(f.name, "Connection")) {
      for_each_word(f.value, [&](std::string_view word) { close = close || same_word(word, "close"); });
      if (same_word(f.value, "close") || same_word(f.value, "keep-alive")) continue;
    }
    put_field(out, f.name, f.value);
  }
  return close;
}

void put_date(std::string& out) {
  // Each thread writes it anew once a second.
  thread_local std::time_t written = 0;
  thread_local char line[64];
  thread_local std::size_t size = 0;
  const std::time_t now = std::time(nullptr);
  if (now != written || size == 0) {
    static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    const int n = std::snprintf(line, sizeof line, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[parts.tm_wday],
                                parts.tm_mday, months[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                                parts.tm_sec);
    size = static_cast<std::size_t>(n);
    written = now;
  }
  out.append(line, size);
}

}  // namespace tutti::io::http::detail
