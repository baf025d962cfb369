#include <tutti/io/stream.hpp>

#include <tutti/io/inside/reactor.hpp>
#include <tutti/io/until.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace tutti::io {

namespace detail {
namespace {

bool is_system(const std::error_code& error) noexcept {
  return error.category() == std::system_category() || error.category() == std::generic_category();
}

void drop_ahead(byte_stream& from, std::size_t bytes) {
  from.ahead_at += bytes;
  if (from.ahead_at != from.ahead.size()) return;
  from.ahead_at = 0;
  // An idle stream keeps no memory for what it has read.
  std::string().swap(from.ahead);
}

std::string_view ahead_of(const byte_stream& from) { return std::string_view(from.ahead).substr(from.ahead_at); }

// Reads more behind what is there already; false at the end.
task<bool> read_ahead(byte_stream& from, std::size_t most, const char* what, until& end) {
  const std::size_t room = std::clamp<std::size_t>(from.ahead.size() - from.ahead_at, 1024, 65536);
  std::string more(std::min(room, most), '\0');
  read_wait reading(what, &from, more, false, end.left());
  reading.past_ahead();
  const std::size_t n = co_await reading;
  if (from.ahead_at != 0) {
    from.ahead.erase(0, from.ahead_at);
    from.ahead_at = 0;
  }
  from.ahead.append(more, 0, n);
  co_return n != 0;
}

std::string take_ahead(byte_stream& from, std::size_t bytes) {
  std::string taken(ahead_of(from).substr(0, bytes));
  drop_ahead(from, bytes);
  return taken;
}

}  // namespace

std::exception_ptr as_exception(const std::string& tried, std::error_code error) noexcept {
  if (error == std::errc::bad_file_descriptor)
    return std::make_exception_ptr(closed(tried + ": the stream was closed meanwhile"));
  if (const auto* const own = dynamic_cast<const throwing_category*>(&error.category()))
    return own->exception(tried, error.value());
  if (is_system(error)) return std::make_exception_ptr(os_error::of(tried, error.value()));
  return std::make_exception_ptr(os_error(fmt::format("{}: {}", tried, error.message()), EPROTO));
}

// ---------------------------------------------------------------- waits

stream_wait::stream_wait(const char* what, byte_stream* stream, std::chrono::nanoseconds limit)
    : io_wait(what, limit), stream_(stream) {
  if (&reactor::here(what) != &stream->where())
    throw std::logic_error(fmt::format("{}: the stream to {} belongs to another loop than the one this runs on", what,
                                       stream->describe()));
}

void stream_wait::occupy(bool& direction) {
  if (direction)
    throw std::logic_error(fmt::format(
        "{}: another coroutine waits for the same direction of the stream to {}: let one at a time do so, or "
        "put a sync::mutex around it",
        what(), stream_->describe()));
  direction = true;
  direction_ = &direction;
  stream_->pin();
}

void stream_wait::finish_stream() {
  if (direction_ == nullptr) {
    if (failed_ != nullptr) std::rethrow_exception(failed_);
    return;
  }
  struct let_go {
    stream_wait& self;
    ~let_go() {
      *self.direction_ = false;
      self.stream_->unpin();
    }
  } const at_end{*this};
  finish();
  if (failed_ != nullptr) std::rethrow_exception(failed_);
}

bool stream_wait::fail(std::error_code error) noexcept { return fail(as_exception(subject(), error)); }

bool stream_wait::fail(std::exception_ptr error) noexcept {
  failed_ = std::move(error);
  return true;
}

bool read_wait::await_ready() {
  if (stream().is_read) occupy(stream().is_read);  // throws
  const std::string_view ahead = past_ahead_ ? std::string_view() : ahead_of(stream());
  if (!ahead.empty() && !room_.empty()) {
    done_ = std::min(ahead.size(), room_.size());
    std::memcpy(room_.data(), ahead.data(), done_);
    drop_ahead(stream(), done_);
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
  finish_stream();
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
  byte_stream& to = stream();
  if (to.is_written) occupy(to.is_written);  // throws
  if (!flush_ && to.behind_limit != 0 && to.behind.size() + bytes_.size() <= to.behind_limit) {
    to.behind.append(bytes_.text());
    return true;
  }
  for (bool first = true; !next().empty() && (first || to.where().may_go_on()); first = false) {
    std::error_code error;
    const std::size_t n = to.write_now(next(), error);
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

task<std::string> stream::read_exactly(std::size_t size, std::chrono::nanoseconds limit) {
  std::string text(size, '\0');
  co_await detail::read_wait("read_exactly", body(), text, true, limit);
  co_return text;
}

task<std::string> stream::read_until(std::string delimiter, std::size_t most, std::chrono::nanoseconds limit) {
  if (delimiter.empty()) throw std::invalid_argument("read_until: the delimiter is empty");
  detail::byte_stream& from = *body();
  detail::until end(limit);
  for (std::size_t looked_at = 0;;) {
    const std::string_view ahead = detail::ahead_of(from);
    const std::size_t found = ahead.substr(0, most).find(delimiter, looked_at);
    if (found != std::string_view::npos) co_return detail::take_ahead(from, found + delimiter.size());
    if (ahead.size() >= most)
      throw too_long(fmt::format("reading from {}: no end of what was awaited within {} bytes", from.describe(), most));
    looked_at = ahead.size() - std::min(ahead.size(), delimiter.size() - 1);
    const bool more = co_await detail::read_ahead(from, most - ahead.size(), "read_until", end);
    if (!more)
      throw closed(fmt::format("reading from {}: the end came before that of what was awaited, after {} bytes",
                               from.describe(), detail::ahead_of(from).size()));
  }
}

task<std::optional<std::string>> stream::read_line(std::size_t most, std::chrono::nanoseconds limit) {
  detail::byte_stream& from = *body();
  detail::until end(limit);
  for (std::size_t looked_at = 0;;) {
    const std::string_view ahead = detail::ahead_of(from);
    std::size_t found = ahead.substr(0, most).find('\n', looked_at);
    if (found == std::string_view::npos) {
      if (ahead.size() >= most)
        throw too_long(fmt::format("reading from {}: a line has more than {} bytes", from.describe(), most));
      looked_at = ahead.size();
      const bool more = co_await detail::read_ahead(from, most - ahead.size(), "read_line", end);
      if (more) continue;
      if (detail::ahead_of(from).empty()) co_return std::nullopt;
      co_return detail::take_ahead(from, detail::ahead_of(from).size());
    }
    std::string line = detail::take_ahead(from, found + 1);
    line.pop_back();
    if (line.ends_with('\r')) line.pop_back();
    co_return line;
  }
}

task<std::string> stream::read_all(std::size_t most, std::chrono::nanoseconds limit) {
  detail::byte_stream& from = *body();
  detail::until end(limit);
  for (;;) {
    const std::size_t size = detail::ahead_of(from).size();
    if (size > most)
      throw too_long(
          fmt::format("reading from {}: there are more than {} bytes before the end", from.describe(), most));
    const bool more = co_await detail::read_ahead(from, most - size + 1, "read_all", end);
    if (!more) co_return detail::take_ahead(from, size);
  }
}

void stream::buffer_writes(std::size_t size) {
  if (body()->behind.size() > size)
    throw std::logic_error(
        fmt::format("buffer_writes({}): {} bytes are in the write buffer: flush first", size, body()->behind.size()));
  body()->behind_limit = size;
}

task<> stream::shutdown_write(std::chrono::nanoseconds limit) {
  detail::byte_stream* const to = body();
  detail::until end(limit);
  co_await detail::write_wait("shutdown_write", to, const_buffer(), true, end.left());
  co_await detail::shutdown_wait(to, end.left());
}

}  // namespace tutti::io
