#include <tutti/process/value_message.hpp>

#include <tutti/base/error.hpp>
#include <tutti/process/shared_memory.hpp>

#include <cstring>
#include <vector>

namespace tutti::detail {
namespace {

// The first byte of each message.
constexpr char is_here = 'm', is_in_memory = 'M';

}  // namespace

bool send_bytes(message_socket& to, std::string_view bytes, std::span<const int> handles) {
  if (bytes.size() < most_message_bytes) return to.send(std::string(1, is_here).append(bytes), handles);
  const shared_memory memory(bytes.size(), "a message");
  std::memcpy(memory.data(), bytes.data(), bytes.size());
  std::vector<int> with_memory(handles.begin(), handles.end());
  with_memory.push_back(memory.fd());
  return to.send(std::string(1, is_in_memory), with_memory);
}

std::optional<message> receive_bytes(message_socket& from) {
  auto received = from.receive();
  if (!received) return received;
  if (received->bytes.front() == is_here) {
    received->bytes.erase(0, 1);
  } else if (received->bytes.front() == is_in_memory && !received->handles.empty()) {
    const shared_memory memory(std::move(received->handles.back()), "a message");
    received->handles.pop_back();
    received->bytes.assign(reinterpret_cast<const char*>(memory.data()), memory.size());
  } else {
    throw decode_error("a message from another process that is none of ours");
  }
  return received;
}

}  // namespace tutti::detail
