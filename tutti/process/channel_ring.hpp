// channel_ring: one direction of a process_channel: bytes through shared memory, descriptors and sleep through a
// socket.
//
// The ring is written by one process and read by another. `written` and `read` count bytes for ever; each is stored by
// its own side alone, after the bytes it speaks of were copied (release), and loaded by the other before it copies
// (acquire). What is loaded from shared memory is checked: a peer gone mad is an error here, never a wrong access.
//
// Who finds the ring empty (or too full) says so in shared memory, looks again, and then sleeps in the socket; who has
// published looks for that word afterwards, and rings: sends a byte. Store and load are seq_cst on both sides, so one
// of the two sees the other and no wake-up is lost. The socket is each side's proof of the other's life, too: the
// kernel closes it whatever ends a process, and everything published before is seen by who has seen that. Unless a
// child has it that the process had forked by itself: so who sleeps looks every slow_look whether its peer, which has
// left its key in shared memory, still runs.
#pragma once
#include <tutti/process/message_forms.hpp>
#include <tutti/process/process_key.hpp>
#include <tutti/process/shared_memory.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::detail {

struct ring_control;
class ring_writer;
class ring_reader;

/// Bytes that wait in one direction; larger messages go through in pieces.
inline constexpr std::size_t usual_ring_bytes = 256 * 1024;

/// How a given-away end travels: the numbers of its descriptors, and of what had come along with the next message.
struct travelling_ring {
  std::uint32_t memory = 0;
  std::uint32_t socket = 0;
  std::vector<std::uint32_t> early;
  bool has_early = false;
};

/// What both ends are made of. Move-only; for one thread at a time.
class ring_end : public giveable {
 public:
  ring_end(const ring_end&) = delete;
  ring_end& operator=(const ring_end&) = delete;

  explicit operator bool() const noexcept { return static_cast<bool>(socket_); }
  /// The other side sees that this one is gone, if no other process has this end, too.
  void close() noexcept;
  void given() noexcept final;

 protected:
  enum class state : std::uint8_t { none, open, given, closed, broken };
  enum class woken : std::uint8_t { look, gone, time_up };
  enum class side : std::uint8_t { reads, writes };

  explicit ring_end(side which) noexcept : side_(which) {}
  ring_end(side which, shared_memory memory, unique_fd socket);
  ring_end(ring_end&& other) noexcept;
  ring_end& operator=(ring_end&& other) noexcept;
  ~ring_end() = default;

  /// Throws unless it is open: `closed` when it broke, else logic_error.
  void need_open(const char* kind) const;
  [[nodiscard]] bool is_broken() const noexcept { return state_ == state::broken; }
  /// Ends it, after what cannot be mended, for the other side as for this one. Its memory stays mapped.
  void break_off() noexcept;
  [[nodiscard]] ring_control& control() const noexcept;
  [[nodiscard]] std::size_t ring_size() const noexcept;
  void copy_in(std::uint64_t at, const char* from, std::size_t size) noexcept;
  void copy_out(std::uint64_t at, char* to, std::size_t size) const noexcept;
  /// Wakes the other side. False when it is gone.
  bool ring_bell() const noexcept;
  /// Sleeps until something comes through the socket. `handles`: takes descriptors that come.
  woken sleep(const message_wait& how, std::optional<std::vector<unique_fd>>* handles);
  woken listen(int flags, std::optional<std::vector<unique_fd>>* handles);
  [[nodiscard]] bool peer_is_gone() const noexcept;
  /// Also when its socket lives on. Costs some us.
  [[nodiscard]] bool peer_is_dead() const noexcept;
  /// This process has this end.
  void note_holder() const noexcept;
  static std::pair<shared_memory, unique_fd> take_parts(const travelling_ring& from, const char* kind);
  [[nodiscard]] travelling_ring give(const char* kind, const std::optional<std::vector<unique_fd>>& early);

  shared_memory memory_;
  unique_fd socket_;
  state state_ = state::none;

 private:
  [[nodiscard]] std::atomic<process_key>& holder(side which) const noexcept;

  const side side_;
};

/// The end that sends.
class ring_writer final : public ring_end {
 public:
  ring_writer() noexcept : ring_end(side::writes) {}
  ring_writer(shared_memory memory, unique_fd socket);

  /// Sends a message with its descriptors. False: the time is up, and nothing was sent. Throws `closed`, encode_error,
  /// decode_error when the other side has gone mad, os_error, and logic_error for an end that is no more.
  bool put(std::string_view bytes, std::span<const unique_fd> handles, const message_wait& how);

  [[nodiscard]] travelling_ring give();
  void take_over(const travelling_ring& from);

 private:
  [[nodiscard]] std::size_t room();
  woken wait_for_bell(std::size_t size, const message_wait& how);
  bool wait_for_room(std::size_t size, const message_wait& how);
  bool send_handles(std::span<const unique_fd> handles, int last, const message_wait& how);
  void write(const void* from, std::size_t size) noexcept;
  void publish();
  bool put_in_pieces(std::string_view bytes, std::span<const unique_fd> handles, const message_wait& how);
  bool put_aside(std::string_view bytes, std::span<const unique_fd> handles, const message_wait& how);
  void stream(std::string_view bytes, const message_wait& how);
  void look_after_peer();
  [[noreturn]] void refuse() const;

  std::uint64_t written_ = 0;
  std::uint64_t read_ = 0;  // as last seen
  std::int64_t looked_at_ = 0;
};

/// The end that receives.
class ring_reader final : public ring_end {
 public:
  ring_reader() noexcept : ring_end(side::reads) {}
  ring_reader(shared_memory memory, unique_fd socket);

  /// The next message. Throws `closed` once when the writer died in the middle of one; decode_error, os_error,
  /// logic_error for an end that is no more.
  arrival take(arrived_message& into, const message_wait& how);
  [[noreturn]] void refuse() const;

  [[nodiscard]] travelling_ring give();
  void take_over(const travelling_ring& from);

 private:
  [[nodiscard]] std::size_t available();
  bool begin_message();
  bool fetch();
  void release();
  void finish(arrived_message& into);
  [[noreturn]] void broken(const char* why);
  woken wait_for_bytes(const message_wait& how);

  std::uint64_t read_ = 0;
  std::uint64_t written_ = 0;  // as last seen
  std::uint64_t header_ = 0;   // of the message under way; 0: none
  std::size_t got_ = 0;        // of its bytes
  byte_buffer message_;
  std::optional<std::vector<unique_fd>> early_;  // descriptors of a message that is not there yet
};

/// Both ends of a ring of `size` bytes, a power of two. Throws os_error.
std::pair<ring_reader, ring_writer> make_ring(std::size_t size = usual_ring_bytes);

}  // namespace tutti::detail
