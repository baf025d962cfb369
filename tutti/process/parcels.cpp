#include <tutti/process/parcels.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <utility>

namespace tutti::detail {
namespace {

// What goes over the socket beside descriptors.
struct note {
  std::uint32_t parcel = 0;  // 0: they belong to a ticket
  std::uint64_t ticket = 0;
};

// False: a socket that does not block is full.
bool send_if_possible(message_socket& socket, const note& what, std::span<const int> handles) {
  try {
    if (!socket.send(encode(what), handles)) throw closed("the socket of a worker is closed on its side");
    return true;
  } catch (const os_error& e) {
    // ETOOMANYREFS: this user's programs have too many descriptors on their way.
    if (e.code() == EAGAIN || e.code() == EWOULDBLOCK || e.code() == ETOOMANYREFS) return false;
    throw;
  }
}

parcel_head& head_of(const shared_memory& memory) noexcept { return *reinterpret_cast<parcel_head*>(memory.data()); }

}  // namespace

std::uint32_t parcel_sender::put(std::string_view bytes, message_socket& socket) {
  const std::size_t needed = bytes.size() + parcel_data_at;
  parcel* chosen = find(needed);
  if (chosen == nullptr) {
    drop_free(needed);
    // Some more, so that the next one, a little longer, fits too.
    const std::size_t rounded = (needed + needed / 8 + 4095) / 4096 * 4096;
    parcel made{++last_, shared_memory(rounded, "a long argument or result"), false};
    const int handle[] = {made.memory.fd()};
    parcels_.reserve(parcels_.size() + 1);
    if (!send_if_possible(socket, note{made.number, 0}, handle)) return 0;
    chosen = &parcels_.emplace_back(std::move(made));
  }
  std::memcpy(chosen->memory.data() + parcel_data_at, bytes.data(), bytes.size());
  head_of(chosen->memory).busy.store(1, std::memory_order_relaxed);  // published with the record
  chosen->is_taken = true;
  return chosen->number;
}

std::string_view parcel_sender::bytes(std::uint32_t number, std::size_t size) const noexcept {
  for (const parcel& p : parcels_) {
    if (p.number == number && size <= p.memory.size() - parcel_data_at)
      return {reinterpret_cast<const char*>(p.memory.data() + parcel_data_at), size};
  }
  return {};
}

void parcel_sender::drop(std::uint32_t number) noexcept {
  std::erase_if(parcels_, [&](const parcel& p) { return p.number == number; });
}

void parcel_sender::take_back(std::uint32_t number) noexcept {
  for (parcel& p : parcels_) {
    if (p.number == number) p.is_taken = false;
  }
}

// What the other side writes into the parcels of its arguments is not believed.
bool parcel_sender::is_free(const parcel& p) const noexcept {
  return freed_ == freed::by_sender ? !p.is_taken : head_of(p.memory).busy.load(std::memory_order_acquire) == 0;
}

std::uint32_t parcel_sender::take_dropped() noexcept {
  if (dropped_.empty()) return 0;
  const std::uint32_t number = dropped_.back();
  dropped_.pop_back();
  return number;
}

// The smallest free one that is not far too large.
parcel_sender::parcel* parcel_sender::find(std::size_t size) noexcept {
  parcel* best = nullptr;
  for (parcel& p : parcels_) {
    if (p.memory.size() < size || p.memory.size() / 16 > size) continue;
    if (!is_free(p)) continue;
    if (best == nullptr || p.memory.size() < best->memory.size()) best = &p;
  }
  return best;
}

void parcel_sender::drop_free(std::size_t wanted) {
  dropped_.reserve(dropped_.size() + parcels_.size());  // what may throw comes before anything is dropped
  std::size_t kept = wanted;
  for (const parcel& p : parcels_) kept += p.memory.size();
  std::erase_if(parcels_, [&](const parcel& p) {
    if (kept <= most_kept || !is_free(p)) return false;
    kept -= p.memory.size();
    dropped_.push_back(p.number);
    return true;
  });
}

std::string_view parcel_receiver::get(std::uint32_t number, std::uint64_t size, message_socket& socket) {
  while (!parcels_.contains(number)) receive(socket);
  const shared_memory& memory = parcels_.at(number);
  if (memory.size() < parcel_data_at || size > memory.size() - parcel_data_at)
    throw decode_error("a parcel is shorter than what it is said to hold");
  return {reinterpret_cast<const char*>(memory.data() + parcel_data_at), static_cast<std::size_t>(size)};
}

parcel_head* parcel_receiver::head(std::uint32_t number) const noexcept {
  const auto found = parcels_.find(number);
  return found == parcels_.end() ? nullptr : &head_of(found->second);
}

std::vector<unique_fd> parcel_receiver::take_handles(std::uint64_t ticket, message_socket& socket) {
  while (!handles_.contains(ticket)) receive(socket);
  std::vector<unique_fd> result = std::move(handles_.at(ticket));
  // Those of earlier tickets belong to calls that were taken back.
  std::erase_if(handles_, [&](const auto& entry) { return entry.first <= ticket; });
  return result;
}

void parcel_receiver::receive(message_socket& socket) {
  auto received = socket.receive();
  if (!received) throw decode_error("the descriptor of a long argument or result did not come along");
  const auto what = decode<note>(received->bytes);
  if (what.parcel == 0) {
    handles_[what.ticket] = std::move(received->handles);
  } else if (received->handles.size() == 1) {
    parcels_.insert_or_assign(what.parcel,
                              shared_memory(std::move(received->handles.front()), "a long argument or result"));
  }
}

bool send_handles(std::uint64_t ticket, const std::vector<unique_fd>& handles, message_socket& socket) {
  std::vector<int> numbers;
  numbers.reserve(handles.size());
  for (const unique_fd& handle : handles) numbers.push_back(handle.get());
  return send_if_possible(socket, note{0, ticket}, numbers);
}

std::optional<std::vector<unique_fd>> take_unread_handles(std::uint64_t ticket, message_socket& socket) noexcept {
  ::fcntl(socket.fd(), F_SETFL, O_NONBLOCK);
  std::optional<std::vector<unique_fd>> found;
  for (;;) {
    try {
      auto received = socket.receive();
      if (!received) return found;
      const auto what = decode<note>(received->bytes);
      if (what.parcel == 0 && what.ticket == ticket) found = std::move(received->handles);
    } catch (const os_error& e) {
      if (e.code() != EMFILE) return found;  // else that message is read, and gone
    } catch (const std::exception&) {
      return found;
    }
  }
}

}  // namespace tutti::detail
