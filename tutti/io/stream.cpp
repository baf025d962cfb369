#include <tutti/io/stream.hpp>

#include <tutti/io/inside/reactor.hpp>
#include <tutti/io/until.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

namespace tutti::io {

namespace detail {
namespace {

bool is_system(const std::error_code& error) noexcept {
  return error.category() == std::system_category() || error.category() == std::generic_category();
}

std::string_view ahead_of(const byte_stream& from) { return std::string_view(from.ahead).substr(from.ahead_at); }

// Reads more behind what is there already; false at the end. The caller has pinned the stream.
task<bool> read_ahead(byte_stream& from, std::size_t most, const char* what, const until& end) {
  const std::size_t room = std::clamp<std::size_t>(from.ahead.size() - from.ahead_at, 1024, 65536);
  std::string more(std::min(room, most), '\0');
  read_wait reading(what, &from, more, false, end.left());
  reading.past_ahead();
  const std::size_t n = co_await reading;
  if (from.is_disposed())  // after the data had come, and before this went on
    throw closed(fmt::format("reading from {}: the stream was closed meanwhile", from.describe()));
  if (from.ahead_at != 0) {
    from.ahead.erase(0, from.ahead_at);
    from.ahead_at = 0;
  }
  from.ahead.append(more, 0, n);
  co_return n != 0;
}

std::size_t one_more_than(std::size_t n) { return n + (n == std::numeric_limits<std::size_t>::max() ? 0 : 1); }

std::string take_ahead(byte_stream& from, std::size_t bytes) {
  std::string taken(ahead_of(from).substr(0, bytes));
  from.drop_ahead(bytes);
  return taken;
}

}  // namespace

std::exception_ptr as_exception(const std::string& tried, std::error_code error) {
  if (error == std::errc::bad_file_descriptor)
    return std::make_exception_ptr(closed(tried + ": the stream was closed meanwhile"));
  if (const auto* const own = dynamic_cast<const throwing_category*>(&error.category()))
    return own->exception(tried, error.value());
  if (is_system(error)) return std::make_exception_ptr(os_error::of(tried, error.value()));
  return std::make_exception_ptr(os_error(fmt::format("{}: {}", tried, error.message()), EPROTO));
}

// ---------------------------------------------------------------- waits

byte_stream& only_here(const char* what, byte_stream& s) {
  if (&reactor::here(what) != &s.where())
    throw std::logic_error(
        fmt::format("{}: the stream to {} belongs to another loop than the one this runs on", what, s.describe()));
  return s;
}

// Whose loop it is, is looked at first: what others count on it is theirs.
stream_wait::stream_wait(const char* what, byte_stream* stream, wait_limit limit)
    : io_wait(what, stream->where(), limit), stream_(what, *stream) {}

stream_wait::~stream_wait() {
  if (direction_ != nullptr) *direction_ = false;  // it could not wait
}

void stream_wait::begin_once() {
  if (std::exchange(begun_, true))
    throw std::logic_error(fmt::format("{}: it was awaited twice: call {} for each", what(), what()));
}

void stream_wait::occupy(bool& direction) {
  if (direction)
    throw std::logic_error(fmt::format(
        "{}: another coroutine waits for the same direction of the stream to {}: let one at a time do so, or "
        "hold a tutti::mutex meanwhile (lock_async)",
        what(), stream_->describe()));
  direction = true;
  direction_ = &direction;
}

void stream_wait::finish_stream() {
  if (bool* const direction = std::exchange(direction_, nullptr)) {
    *direction = false;
    finish();
  }
  if (failed_ != nullptr) std::rethrow_exception(failed_);
}

bool stream_wait::fail(std::error_code error) noexcept {
  try {
    return fail(as_exception(subject(), error));
  } catch (...) {  // without memory for the words
    return fail(std::current_exception());
  }
}

bool stream_wait::fail(std::exception_ptr error) noexcept {
  failed_ = std::move(error);
  return true;
}

bool read_wait::await_ready() {
  begin_once();
  if (stream().is_read) occupy(stream().is_read);  // throws
  const std::string_view ahead = past_ahead_ ? std::string_view() : ahead_of(stream());
  if (!ahead.empty() && !room_.empty()) {
    done_ = std::min(ahead.size(), room_.size());
    std::memcpy(room_.data(), ahead.data(), done_);
    stream().drop_ahead(done_);
  }
  if (!enough() && stream().where().may_go_on()) {
    std::error_code error;
    done_ += stream().read_now(room_.behind(done_), error);
    if (error) return fail(error);
  }
  if (enough()) return true;
  occupy(stream().is_read);
  return false;
}

bool read_wait::is_through(std::error_code error, std::size_t bytes) noexcept {
  if (error) return fail(error);
  done_ += bytes;
  if (bytes != 0 || !all_) return bytes == 0 || enough();
  return fail(std::make_exception_ptr(
      closed(fmt::format("{}: the end came after {} of {} bytes", subject(), done_, room_.size()))));
}

std::size_t read_wait::await_resume() {
  try {
    finish_stream();
  } catch (...) {
    // A wait that ended early has lost nothing: what it has got is there for the next one.
    if (!has_failed() && done_ != 0)
      stream().ahead.insert(stream().ahead_at, reinterpret_cast<const char*>(room_.data()), done_);
    throw;
  }
  return done_;
}

const_buffer write_wait::next() const noexcept {
  const const_buffer kept(stream().behind);
  return kept_done_ < kept.size() ? kept.behind(kept_done_) : bytes_;
}

void write_wait::went_out(std::size_t bytes) noexcept {
  if (kept_done_ == stream().behind.size()) {
    bytes_ = bytes_.behind(bytes);
  } else if (kept_done_ += bytes; kept_done_ == stream().behind.size()) {
    stream().behind.clear();
    kept_done_ = 0;
  }
}

bool write_wait::await_ready() {
  begin_once();
  byte_stream& to = stream();
  if (to.is_written) occupy(to.is_written);  // throws
  if (!flush_ && to.behind_limit != 0 && to.behind.size() + bytes_.size() <= to.behind_limit) {
    to.behind.append(bytes_.text());
    return true;
  }
  for (const_buffer left = next(); !left.empty(); left = next()) {
    if (!to.where().may_write_on()) break;
    std::error_code error;
    const std::size_t n = to.write_now(left, error);
    if (error) return fail(error);
    if (n == 0) break;
    went_out(n);
  }
  if (next().empty()) return true;
  occupy(to.is_written);
  return false;
}

bool write_wait::is_through(std::error_code error, std::size_t bytes) noexcept {
  if (error) return fail(error);
  went_out(bytes);
  return next().empty();
}

void write_wait::await_resume() { finish_stream(); }

bool shutdown_wait::await_ready() {
  begin_once();
  occupy(stream().is_written);
  return false;
}

}  // namespace detail

// ---------------------------------------------------------------- stream

void stream::throw_none() { throw closed("the stream was closed, or is none: it was never connected, or moved from"); }

stream stream::adopt(unique_fd descriptor) {
  ::sockaddr_storage address{};
  ::socklen_t size = sizeof address;
  auto* const at = reinterpret_cast<::sockaddr*>(&address);
  const bool has_peer = ::getpeername(descriptor.get(), at, &size) == 0;
  return stream(detail::make_descriptor_stream(std::move(descriptor), has_peer ? endpoint(at, size) : endpoint(),
                                               has_peer ? "a socket" : "a pipe or terminal"));
}

namespace detail {
namespace {

// Coroutines that go on after waits keep the body, whatever becomes of the stream meanwhile.

task<std::string> read_exactly(pinned from, std::size_t size, until end) {
  std::string text(size, '\0');
  co_await read_wait("read_exactly", from.get(), text, true, end.left());
  co_return text;
}

task<std::string> read_until(pinned from, std::string delimiter, std::size_t most, until end) {
  if (delimiter.empty()) throw std::invalid_argument("read_until: the delimiter is empty");
  for (std::size_t looked_at = 0;;) {
    const std::string_view ahead = ahead_of(*from);
    const std::size_t found = ahead.substr(0, most).find(delimiter, looked_at);
    if (found != std::string_view::npos) co_return take_ahead(*from, found + delimiter.size());
    if (ahead.size() >= most)
      throw too_long(
          fmt::format("reading from {}: no end of what was awaited within {} bytes", from->describe(), most));
    looked_at = ahead.size() - std::min(ahead.size(), delimiter.size() - 1);
    const bool more = co_await read_ahead(*from, most - ahead.size(), "read_until", end);
    if (!more)
      throw closed(fmt::format("reading from {}: the end came before that of what was awaited, after {} bytes",
                               from->describe(), ahead_of(*from).size()));
  }
}

task<std::optional<std::string>> read_line(pinned from, std::size_t most, until end) {
  for (std::size_t looked_at = 0;;) {
    const std::string_view ahead = ahead_of(*from);
    const std::size_t found = ahead.substr(0, most).find('\n', looked_at);
    if (found != std::string_view::npos) {
      std::string line = take_ahead(*from, found + 1);
      line.pop_back();
      if (line.ends_with('\r')) line.pop_back();
      co_return line;
    }
    if (ahead.size() > most)
      throw too_long(fmt::format("reading from {}: a line does not end within {} bytes", from->describe(), most));
    looked_at = ahead.size();
    // One byte more than it may have tells whether the end comes behind it.
    const bool more = co_await read_ahead(*from, one_more_than(most - ahead.size()), "read_line", end);
    if (more) continue;
    if (ahead_of(*from).empty()) co_return std::nullopt;
    co_return take_ahead(*from, ahead_of(*from).size());
  }
}

task<std::string> read_all(pinned from, std::size_t most, until end) {
  for (;;) {
    const std::size_t size = ahead_of(*from).size();
    if (size > most)
      throw too_long(
          fmt::format("reading from {}: there are more than {} bytes before the end", from->describe(), most));
    const bool more = co_await read_ahead(*from, one_more_than(most - size), "read_all", end);
    if (!more) co_return take_ahead(*from, size);
  }
}

task<> shutdown_write(pinned to, until end) {
  co_await write_wait("shutdown_write", to.get(), const_buffer(), true, end.left());
  if (to->is_disposed()) throw closed(fmt::format("shutdown_write: the stream to {} was closed", to->describe()));
  co_await shutdown_wait(to.get(), end.left());
}

}  // namespace
}  // namespace detail

task<std::string> stream::read_exactly(std::size_t size, time_limit limit) {
  return detail::read_exactly(detail::pinned("read_exactly", *body()), size, detail::until(limit));
}

task<std::string> stream::read_until(std::string delimiter, std::size_t most, time_limit limit) {
  return detail::read_until(detail::pinned("read_until", *body()), std::move(delimiter), most, detail::until(limit));
}

task<std::optional<std::string>> stream::read_line(std::size_t most, time_limit limit) {
  return detail::read_line(detail::pinned("read_line", *body()), most, detail::until(limit));
}

task<std::string> stream::read_all(std::size_t most, time_limit limit) {
  return detail::read_all(detail::pinned("read_all", *body()), most, detail::until(limit));
}

void stream::buffer_writes(std::size_t size) {
  if (body()->behind.size() > size)
    throw std::logic_error(
        fmt::format("buffer_writes({}): {} bytes are in the write buffer: flush first", size, body()->behind.size()));
  body()->behind_limit = size;
}

task<> stream::shutdown_write(time_limit limit) {
  return detail::shutdown_write(detail::pinned("shutdown_write", *body()), detail::until(limit));
}

}  // namespace tutti::io
