// parcels: long arguments and results, through memory that is used again while it is warm.
//
// The sender makes a parcel, a stretch of shared memory, and sends its descriptor over the socket the first time; from
// then on its number is enough. It is the receiver's from the moment that a record with its number is published.
// Results are given back by the receiver, who stores 0 in `busy` (release); the sender has them again when it has seen
// that (acquire). Arguments the pool takes back itself, once their call is answered or never will be: another attempt
// may need them.
#pragma once
#include <tutti/process/message_socket.hpp>
#include <tutti/process/shared_memory.hpp>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tutti::detail {

struct parcel_head {
  std::atomic<std::uint32_t> busy;
};
inline constexpr std::size_t parcel_data_at = 64;

/// The side that fills parcels. For one thread at a time.
class parcel_sender {
 public:
  /// Who says that a parcel is free again: the other side, or take_back alone.
  enum class freed : std::uint8_t { by_receiver, by_sender };
  explicit parcel_sender(freed by) noexcept : freed_(by) {}

  /// Puts `bytes` into a parcel, tells the other side of it over `socket` if it is new, and returns its number; 0: the
  /// socket takes no more now. Throws `closed` when the other side is gone, os_error when there is no memory.
  std::uint32_t put(std::string_view bytes, message_socket& socket);
  /// The bytes of a parcel that has not been taken or given back.
  [[nodiscard]] std::string_view bytes(std::uint32_t number, std::size_t size) const noexcept;
  /// The other side has not got it: another one is to take its place.
  void drop(std::uint32_t number) noexcept;
  /// Takes a parcel back that the other side will not look at.
  void take_back(std::uint32_t number) noexcept;
  /// A parcel that was dropped since the last call, for the other side to forget; 0: none.
  [[nodiscard]] std::uint32_t take_dropped() noexcept;

 private:
  // Free parcels beyond this are not kept.
  static constexpr std::size_t most_kept = std::size_t{1} << 30;
  struct parcel {
    std::uint32_t number;
    shared_memory memory;
    bool is_taken = false;
  };
  bool is_free(const parcel& p) const noexcept;
  parcel* find(std::size_t size) noexcept;
  void drop_free(std::size_t wanted);

  const freed freed_;
  std::vector<parcel> parcels_;
  std::vector<std::uint32_t> dropped_;
  std::uint32_t last_ = 0;
};

/// The side that reads them.
class parcel_receiver {
 public:
  /// The bytes of a parcel, until it is given back. Reads `socket` when it is new. Throws decode_error for what was not
  /// sent, and os_error.
  std::string_view get(std::uint32_t number, std::uint64_t size, message_socket& socket);
  [[nodiscard]] bool has(std::uint32_t number) const noexcept { return parcels_.contains(number); }
  /// The head of one that has come, where it is given back by a 0 in `busy`; null: there is none.
  [[nodiscard]] parcel_head* head(std::uint32_t number) const noexcept;
  void forget(std::uint32_t number) noexcept { parcels_.erase(number); }
  /// Descriptors that came before a parcel's, under the ticket they were sent with.
  std::vector<unique_fd> take_handles(std::uint64_t ticket, message_socket& socket);

 private:
  void receive(message_socket& socket);
  std::unordered_map<std::uint32_t, shared_memory> parcels_;
  std::unordered_map<std::uint64_t, std::vector<unique_fd>> handles_;
};

/// Sends descriptors under a ticket. False: the socket takes no more now. Throws `closed` when the other side is gone.
bool send_handles(std::uint64_t ticket, const std::vector<unique_fd>& handles, message_socket& socket);

/// Reads what lies unread in `socket`, whose owner does not any more, to its end, and gives the descriptors that were
/// sent under that ticket; nothing: they are not there, or there was no room for them. All others are closed.
std::optional<std::vector<unique_fd>> take_unread_handles(std::uint64_t ticket, message_socket& socket) noexcept;

}  // namespace tutti::detail
