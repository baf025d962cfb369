#include <tutti/io/file.hpp>

#include <tutti/base/error.hpp>
#include <tutti/io/file_calls.hpp>
#include <tutti/io/helpers.hpp>
#include <tutti/io/inside/file_state.hpp>
#include <tutti/io/until.hpp>
#include <tutti/task/await.hpp>

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace tutti::io {
namespace {

// What one call reads or writes at most: it has memory of its own, and its helper for so long.
constexpr std::size_t most_per_call = std::size_t{256} << 10;

struct bytes_read {
  std::unique_ptr<char[]> bytes;
  std::size_t size = 0;
};

using detail::as_offset, detail::changing, detail::counted, detail::positioned;
using detail::must_be_readable, detail::must_be_writable;
using state_ptr = std::shared_ptr<file::state>;

task<> await_left_alone(state_ptr s, detail::until end) {
  for (;;) {
    std::optional<shared_future<void>> first;
    {
      const std::lock_guard lock(s->mutex);
      s->look_for_forks();
      std::erase_if(s->left_alone, [](const auto& call) { return call.done(); });
      if (!s->left_alone.empty()) first = s->left_alone.front();
    }
    if (!first) co_return;
    try {
      co_await detail::await_helper(*first, end, "waiting for an earlier call of " + s->path);
    } catch (const cancelled&) {
      throw;
    } catch (const timed_out&) {
      throw;
    } catch (const std::exception&) {  // its own; whoever began it did not want to know any more
    }
  }
}

// Runs `f(state&)` on a helper, behind calls that were given up.
template <class F>
task<> carry_out(state_ptr s, detail::until end, std::string tried, F f) {
  task<> earlier = await_left_alone(s, end);
  co_await std::move(earlier);
  auto work = [s, f = std::move(f)] {
    const counted here(*s);
    f(*s);
  };
  const shared_future<void> call = detail::helpers().submit(std::move(work)).share();
  try {
    co_await detail::await_helper(call, end, std::move(tried));
  } catch (...) {
    if (!call.done()) {
      const std::lock_guard lock(s->mutex);
      s->left_alone.push_back(call);
    }
    throw;
  }
}

// At most most_per_call bytes.
task<bytes_read> read_piece(state_ptr s, std::size_t size, std::uint64_t offset, detail::until end) {
  const auto result = std::make_shared<bytes_read>();  // the call's, if it is left alone
  auto call = [result, offset, size = std::min(size, most_per_call)](file::state& f) {
    result->bytes = std::make_unique_for_overwrite<char[]>(size);
    result->size = f.read(offset, result->bytes.get(), size);
  };
  task<> done = carry_out(s, end, "reading " + s->path, std::move(call));
  co_await std::move(done);
  co_return std::move(*result);
}

task<> write_pieces(state_ptr s, const_buffer bytes, std::uint64_t offset, detail::until end, std::uint64_t* position) {
  while (!bytes.empty()) {
    const std::size_t size = std::min(bytes.size(), most_per_call);
    auto call = [piece = std::string(bytes.text().substr(0, size)), offset](file::state& f) {
      const changing it(f);
      const bool at_end = f.mode == file_mode::append;
      detail::write_all(f.fd.get(), piece, at_end ? std::nullopt : std::optional(as_offset(offset, f.path)), f.path);
    };
    task<> done = carry_out(s, end, "writing " + s->path, std::move(call));
    co_await std::move(done);
    bytes = bytes.behind(size);
    offset += size;
    if (position != nullptr) *position = offset;
  }
}

task<std::size_t> read_at_on(state_ptr s, mutable_buffer room, std::uint64_t offset, time_limit limit) {
  must_be_readable("reading", *s);
  detail::until end(limit);
  std::size_t done = 0;
  while (done < room.size()) {
    const std::size_t wanted = std::min(room.size() - done, most_per_call);
    const bytes_read got = co_await read_piece(s, wanted, offset + done, end);
    std::memcpy(room.data() + done, got.bytes.get(), got.size);
    done += got.size;
    if (got.size < wanted) break;
  }
  co_return done;
}

task<> write_at_on(state_ptr s, const_buffer bytes, std::uint64_t offset, time_limit limit) {
  must_be_writable("writing", *s);
  if (s->mode == file_mode::append)
    throw std::logic_error("write_at: file " + s->path + " was opened to append: use write");
  co_await write_pieces(s, bytes, offset, detail::until(limit), nullptr);
}

std::string take_ahead(file::state& s, std::size_t size) {
  std::string taken = s.ahead.substr(s.ahead_at, size);
  s.ahead_at += size;
  s.position += size;
  if (s.ahead_at == s.ahead.size()) {
    s.ahead.clear();
    s.ahead_at = 0;
  }
  return taken;
}

task<std::size_t> read_some_on(state_ptr s, mutable_buffer room, time_limit limit) {
  must_be_readable("reading", *s);
  const positioned here(*s);
  const std::size_t ahead = s->ahead.size() - s->ahead_at;
  if (ahead != 0 || room.empty()) {
    const std::string taken = take_ahead(*s, std::min(ahead, room.size()));
    std::memcpy(room.data(), taken.data(), taken.size());
    co_return taken.size();
  }
  const bytes_read got = co_await read_piece(s, room.size(), s->position, detail::until(limit));
  std::memcpy(room.data(), got.bytes.get(), got.size);
  s->position += got.size;
  co_return got.size;
}

task<std::optional<std::string>> read_line_on(state_ptr s, std::size_t most, time_limit limit) {
  must_be_readable("reading", *s);
  const positioned here(*s);
  detail::until end(limit);
  for (std::size_t looked_at = 0;;) {
    const std::string_view ahead = std::string_view(s->ahead).substr(s->ahead_at);
    const std::size_t found = ahead.substr(0, most).find('\n', looked_at);
    if (found != std::string_view::npos) {
      std::string line = take_ahead(*s, found + 1);
      line.pop_back();
      if (line.ends_with('\r')) line.pop_back();
      co_return line;
    }
    // With one byte more it is known not to be the last one.
    if (ahead.size() > most)
      throw too_long(fmt::format("reading {}: a line does not end within {} bytes", s->path, most));
    looked_at = ahead.size();
    const bytes_read got = co_await read_piece(s, 65536, s->position + looked_at, end);
    if (got.size == 0) {
      if (looked_at == 0) co_return std::nullopt;
      co_return take_ahead(*s, looked_at);
    }
    s->ahead.erase(0, std::exchange(s->ahead_at, 0));
    s->ahead.append(got.bytes.get(), got.size);
  }
}

task<> write_on(state_ptr s, const_buffer bytes, time_limit limit) {
  must_be_writable("writing", *s);
  const positioned here(*s);
  s->forget_ahead();
  co_await write_pieces(s, bytes, s->position, detail::until(limit), &s->position);
}

task<std::uint64_t> size_on(state_ptr s, time_limit limit) {
  const auto size = std::make_shared<std::uint64_t>(0);
  auto call = [size](file::state& f) {
    struct ::stat status{};
    if (::fstat(f.fd.get(), &status) != 0) detail::fail("looking at", f.path);
    *size = static_cast<std::uint64_t>(status.st_size);
  };
  task<> done = carry_out(s, detail::until(limit), "looking at " + s->path, std::move(call));
  co_await std::move(done);
  co_return *size;
}

task<> truncate_on(state_ptr s, std::uint64_t size, time_limit limit) {
  must_be_writable("truncating", *s);
  auto call = [length = as_offset(size, s->path)](file::state& f) {
    const changing it(f);
    int result = 0;
    do result = ::ftruncate(f.fd.get(), length);
    while (result != 0 && errno == EINTR);
    if (result != 0) detail::fail("truncating", f.path);
  };
  co_await carry_out(s, detail::until(limit), "truncating " + s->path, std::move(call));
}

task<> close_it(state_ptr s, time_limit limit) {
  detail::until end(limit);
  task<> earlier = await_left_alone(s, end);
  co_await std::move(earlier);
  {
    const std::lock_guard lock(s->mutex);
    s->look_for_forks();
    if (s->under_way != 0)
      throw std::logic_error("file " + s->path + ": close: another call of it is under way: await that first");
    s->is_closed = true;
  }
  auto work = [s] {
    // The number is free again even after EINTR.
    if (::close(s->fd.release()) != 0 && errno != EINTR) detail::fail("closing", s->path);
  };
  const shared_future<void> call = detail::helpers().submit(std::move(work)).share();
  co_await detail::await_helper(call, end, "closing " + s->path);
}

}  // namespace

const state_ptr& file::opened() const {
  if (state_ == nullptr) throw closed("the file was closed, or is none: it was never opened, or moved from");
  return state_;
}

int file::descriptor() const noexcept { return state_ == nullptr ? -1 : state_->fd.get(); }

task<file> file::open(std::filesystem::path path, file_mode mode, time_limit limit, int permissions) {
  const std::string name = detail::name_of(path);
  const auto result = std::make_shared<state_ptr>();
  auto work = [result, name, mode, permissions] {
    *result = std::make_shared<state>(detail::open_file(name, mode, permissions), name, mode);
  };
  const shared_future<void> call = detail::helpers().submit(std::move(work)).share();
  co_await detail::await_helper(call, detail::until(limit), "opening " + name);
  co_return file(std::move(*result));
}

task<std::size_t> file::read_at(mutable_buffer room, std::uint64_t offset, time_limit limit) const {
  return read_at_on(opened(), room, offset, limit);
}
task<> file::write_at(const_buffer bytes, std::uint64_t offset, time_limit limit) const {
  return write_at_on(opened(), bytes, offset, limit);
}
task<std::size_t> file::read_some(mutable_buffer room, time_limit limit) const {
  return read_some_on(opened(), room, limit);
}
task<std::optional<std::string>> file::read_line(std::size_t most, time_limit limit) const {
  return read_line_on(opened(), most, limit);
}
task<> file::write(const_buffer bytes, time_limit limit) const { return write_on(opened(), bytes, limit); }

std::uint64_t file::position() const { return opened()->position; }

void file::seek(std::uint64_t position) const {
  state& s = *opened();
  static_cast<void>(as_offset(position, s.path));
  const positioned here(s);
  s.forget_ahead();
  s.position = position;
}

task<std::uint64_t> file::size(time_limit limit) const { return size_on(opened(), limit); }

task<> file::truncate(std::uint64_t size, time_limit limit) const { return truncate_on(opened(), size, limit); }

task<> file::sync(time_limit limit) const {
  const state_ptr& s = opened();
  auto call = [](state& f) { detail::sync_all(f.fd.get(), f.path); };
  return carry_out(s, detail::until(limit), "syncing " + s->path, call);
}

task<> file::close(time_limit limit) {
  static_cast<void>(opened());
  return close_it(std::move(state_), limit);
}

}  // namespace tutti::io
