#include <tutti/io/framing.hpp>

#include <tutti/io/until.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>

namespace tutti::io {
namespace {

constexpr std::size_t head_size = 4;

std::size_t length_in(const char* head) noexcept {
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < head_size; ++i) length = length << 8 | static_cast<unsigned char>(head[i]);
  return length;
}

std::string head_of(std::size_t length) {
  std::string head;
  for (int shift = 24; shift >= 0; shift -= 8) head += static_cast<char>(length >> shift & 0xff);
  return head;
}

}  // namespace

frames::frames(stream carrier, std::size_t most) : carrier_(std::move(carrier)), most_(most) {
  if (most > std::numeric_limits<std::uint32_t>::max())
    throw std::invalid_argument(fmt::format(
        "frames: a limit of {} bytes; the length of a message has 4 bytes, which is {} at most", most, 0xffffffffU));
}

std::string frames::take(std::size_t size) {
  std::string message = ahead_.substr(ahead_at_ + head_size, size);
  ahead_at_ += head_size + size;
  if (arrived() == 0) {  // an idle connection keeps no memory for what it has read
    std::string().swap(ahead_);
    ahead_at_ = 0;
  }
  return message;
}

task<std::optional<std::string>> frames::read_frame(time_limit limit) {
  detail::until end(limit);
  for (;;) {
    std::size_t whole = head_size;
    if (arrived() >= head_size) {
      const std::size_t size = length_in(ahead_.data() + ahead_at_);
      if (size > most_)
        throw too_long(fmt::format("reading from {}: a message of {} bytes is announced; the limit is {}",
                                   carrier_.describe(), size, most_));
      whole += size;
      if (arrived() >= whole) co_return take(size);
    }
    // Twice as much as there is at most, so that a length alone makes nobody allocate; and what follows with it.
    const std::size_t room = std::clamp<std::size_t>(whole - arrived(), 1024, std::max<std::size_t>(arrived(), 65536));
    std::string more(room, '\0');
    const std::size_t n = co_await carrier_.read_some(more, end.left());
    if (n == 0) {
      if (arrived() == 0) co_return std::nullopt;
      throw closed(fmt::format("reading from {}: the end came inside a message, after {} of {}{} bytes",
                               carrier_.describe(), arrived(), whole, whole == head_size ? " or more" : ""));
    }
    ahead_.erase(0, std::exchange(ahead_at_, 0));
    ahead_.append(more, 0, n);
  }
}

task<> frames::write_frame(std::string message, time_limit limit) {
  if (message.size() > most_)
    throw too_long(fmt::format("writing to {}: a message of {} bytes; the limit is {}", carrier_.describe(),
                               message.size(), most_));
  message.insert(0, head_of(message.size()));  // one write, one packet
  co_await carrier_.write(message, limit);
}

task<> write_line(stream& to, std::string line, time_limit limit) {
  if (line.find('\n') != std::string::npos || line.ends_with('\r'))
    throw std::invalid_argument(fmt::format(
        "write_line: \"{}\" is not one line: it has a \"\\n\" inside or a \"\\r\" at its end", line.substr(0, 64)));
  line += '\n';
  co_await to.write(line, limit);
}

}  // namespace tutti::io
