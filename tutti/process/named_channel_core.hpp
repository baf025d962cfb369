// named_channel_core: messages through a FIFO, from any number of programs to one.
//
// What is written to a FIFO in one piece of at most PIPE_BUF bytes is never mixed with anything else (POSIX). So each
// message goes as pieces of that size, each with a head that says whose it is and how much is still to come: writers
// need no lock, and one that is killed between two pieces leaves a message that never ends, and nothing else.
#pragma once
#include <tutti/process/fifo.hpp>
#include <tutti/process/message_forms.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace tutti::detail {

/// The largest message, in bytes: who claims more is not believed.
inline constexpr std::size_t most_named_message_bytes = std::size_t{1} << 30;

/// The head of a piece.
struct piece_head {
  std::uint32_t magic;
  std::uint32_t check;  // over what follows
  std::uint64_t sender;
  std::uint64_t left;    // bytes of the message, from this piece on
  std::uint32_t number;  // of the message among those of its sender
  std::uint16_t size;    // bytes that follow
  std::uint16_t flags;
};
/// What `check` must be: tells pieces from strangers' bytes; no secret.
std::uint32_t check_of(const piece_head& head) noexcept;

/// For one thread at a time.
class named_sink {
 public:
  explicit named_sink(fifo to);
  named_sink(named_sink&&) noexcept = default;
  named_sink& operator=(named_sink&&) noexcept = default;
  ~named_sink() { finish(); }

  /// False: the time is up, and what was written of it will be ignored. Throws `closed`, encode_error, os_error.
  bool put(std::string_view bytes, const message_wait& how);
  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept { return to_.fd() >= 0; }
  [[nodiscard]] const std::string& path() const noexcept { return to_.path(); }

 private:
  enum class written : std::uint8_t { yes, not_now, nobody_reads };
  written write(const piece_head& head, std::string_view bytes);
  bool write_until(piece_head& head, std::string_view bytes, const message_wait& how);
  void finish() noexcept;

  fifo to_;
  std::uint64_t self_;
  std::uint32_t number_ = 0;
  bool half_written_ = false;  // the last message: given up in the middle
  bool nobody_reads_ = false;
};

/// For one thread at a time.
class named_source {
 public:
  explicit named_source(fifo from);

  /// Throws decode_error for what is not a message, and goes on with the next; `closed`, once, when all writers are
  /// gone and one of them in the middle of a message; os_error.
  arrival take(arrived_message& into, const message_wait& how);
  [[noreturn]] void refuse() const;
  void close() noexcept {
    from_.close();
    ended_ = false;
  }
  /// Also at its end, when there is nothing more to receive.
  [[nodiscard]] bool is_open() const noexcept { return from_.fd() >= 0 || ended_; }
  [[nodiscard]] const std::string& path() const noexcept { return from_.path(); }

 private:
  struct begun {
    byte_buffer bytes;
    std::size_t got = 0;
    std::uint64_t left = 0;
    std::uint32_t number = 0;
    std::uint64_t last_piece = 0;  // when: in pieces
  };
  enum class filled : std::uint8_t { more, not_now, end };
  filled fill();
  bool next_piece(piece_head& head);
  bool use_piece(const piece_head& head, const char* bytes, arrived_message& into);
  void forget_oldest();
  void skip_nonsense();
  [[noreturn]] void broken(const std::string& why) const;

  fifo from_;
  byte_buffer buffer_;
  std::size_t first_ = 0, last_ = 0;  // what was read and not used
  std::map<std::uint64_t, begun> begun_;
  std::uint64_t pieces_ = 0;   // so far
  std::size_t forgotten_ = 0;  // begun, and dropped for others
  std::optional<begun> whole_;
  std::uint64_t skipped_sender_ = 0;  // whose message without a beginning was told already
  std::uint32_t skipped_number_ = 0;
  bool ended_ = false;
};

}  // namespace tutti::detail
