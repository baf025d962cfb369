#include <tutti/process/message_socket.hpp>

#include <tutti/base/error.hpp>

#include <cerrno>
#include <stdexcept>

namespace tutti::detail {

std::pair<message_socket, message_socket> message_socket::pair() {
  auto [one, other] = connected_sockets("socket");
  return {message_socket(std::move(one)), message_socket(std::move(other))};
}

bool message_socket::send(std::string_view bytes, std::span<const int> handles) {
  if (bytes.size() > most_message_bytes || bytes.empty() || handles.size() > most_message_handles) {
    throw std::length_error("message_socket: a message of " + std::to_string(bytes.size()) + " bytes and " +
                            std::to_string(handles.size()) + " descriptors; the limits are 1 to " +
                            std::to_string(most_message_bytes) + " and " + std::to_string(most_message_handles));
  }
  if (send_with_handles(fd_.get(), bytes.data(), bytes.size(), handles, 0) >= 0) return true;
  if (errno == EPIPE || errno == ECONNRESET) return false;
  throw os_error::of("cannot send to another process", errno);
}

std::optional<message> message_socket::receive() {
  message result;
  result.bytes.resize(most_message_bytes);
  const auto [size, handles_lost, cut] =
      receive_with_handles(fd_.get(), result.bytes.data(), result.bytes.size(), result.handles, 0);
  if (size == 0) return std::nullopt;  // no message is empty
  if (size < 0) throw os_error::of("cannot receive from another process", errno);
  if (handles_lost) throw os_error::of("cannot take over the descriptors another process sent", EMFILE);
  if (cut)
    throw decode_error("a message of more than " + std::to_string(most_message_bytes) + " bytes is none of ours");
  result.bytes.resize(static_cast<std::size_t>(size));
  return result;
}

}  // namespace tutti::detail
