// value_message: encoded values of any size over a message_socket.
#pragma once
#include <tutti/base/codec.hpp>
#include <tutti/process/message_socket.hpp>

#include <span>
#include <string>
#include <string_view>

namespace tutti::detail {

/// Sends bytes of any number: what is too long for a message goes through shared memory.
bool send_bytes(message_socket& to, std::string_view bytes, std::span<const int> handles = {});
/// What send_bytes has sent; bytes and the handles given there. Throws decode_error.
std::optional<message> receive_bytes(message_socket& from);

/// Sends a value; false: the other side is gone. Throws as message_socket::send and shared_memory do.
template <class T>
bool send_value(message_socket& to, const T& value, std::span<const int> handles = {}) {
  return send_bytes(to, encode(value), handles);
}

}  // namespace tutti::detail
