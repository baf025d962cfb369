#include <tutti/io/inside/websocket_checks.hpp>
#include <tutti/io/io_wait.hpp>

#include <fmt/format.h>

#include <stdexcept>

namespace tutti::io::detail {

void check_options(const char* what, const websocket_options& options) {
  if (options.max_message == 0)
    throw std::invalid_argument(fmt::format("{}: max_message is 0 bytes; give the most that a message may have", what));
  if (options.silence <= std::chrono::nanoseconds(0))
    throw std::invalid_argument(
        fmt::format("{}: silence is {}; give more than 0, or no_limit for none", what, in_words(options.silence)));
  constexpr std::size_t longest = 255;
  if (options.protocol.size() > longest)
    throw std::invalid_argument(
        fmt::format("{}: the protocol has {} bytes, the most are {}", what, options.protocol.size(), longest));
  // It becomes part of a head: whatever else is in there would be another field, or none.
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  for (const char c : options.protocol) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!is_letter && others.find(c) == std::string_view::npos)
      throw std::invalid_argument(
          fmt::format("{}: the protocol {:?} has the character {:?}; it is to be one name of letters, digits and {}",
                      what, options.protocol, c, others));
  }
}

// RFC 6455, 7.4: which ones may be sent. 1014 is none for Beast, and others know it from a table of IANA's only.
void check_close_code(std::uint16_t code) {
  const bool is_defined = code >= 1000 && code <= 1013 && code != 1004 && code != 1005 && code != 1006;
  const bool is_free = code >= 3000 && code <= 4999;
  if (!is_defined && !is_free)
    throw std::invalid_argument(fmt::format(
        "close: {} is no code that may be sent; 1000 is the normal end, 4000 to 4999 are the program's own", code));
}

}  // namespace tutti::io::detail
