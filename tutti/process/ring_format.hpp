// ring_format: what the two ends of a channel_ring agree upon: its first page, and how messages lie in it.
#pragma once
#include <tutti/core/cpu.hpp>
#include <tutti/process/process_key.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tutti::detail {

/// The first page of the memory; the ring follows.
struct ring_control {
  std::uint64_t magic;
  alignas(cpu::cache_line) std::atomic<std::uint64_t> written;
  alignas(cpu::cache_line) std::atomic<std::uint64_t> read;
  alignas(cpu::cache_line) std::atomic<std::uint32_t> reader_waits;
  alignas(cpu::cache_line) std::atomic<std::uint64_t> writer_wants;  // so many free bytes; 0: does not wait
  // Who has the end that reads, and that writes; 0: it is on its way.
  alignas(cpu::cache_line) std::atomic<process_key> holders[2];
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

inline constexpr std::size_t control_bytes = 4096;
static_assert(sizeof(ring_control) <= control_bytes);
inline constexpr std::uint64_t ring_magic = 0x31676e6972747574;  // "tutring1"

// A message is a word, then its bytes, filled up to a multiple of 8; so the word is never cut in two.
//   bits 0-47: bytes; 48-55: descriptors; 56-63: what it is
inline constexpr std::uint64_t plain = 0x5a,
                               in_memory = 0x5b;  // in_memory: its size is here, it is in the last descriptor
inline constexpr std::size_t word = sizeof(std::uint64_t);
inline constexpr std::uint64_t size_mask = (std::uint64_t{1} << 48) - 1;

constexpr std::uint64_t header_of(std::uint64_t kind, std::size_t handles, std::size_t size) noexcept {
  return kind << 56 | static_cast<std::uint64_t>(handles) << 48 | size;
}
constexpr std::uint64_t kind_of_header(std::uint64_t header) noexcept { return header >> 56; }
constexpr std::size_t handles_of(std::uint64_t header) noexcept { return (header >> 48) & 0xff; }
constexpr std::size_t size_of(std::uint64_t header) noexcept { return header & size_mask; }
constexpr std::size_t filled(std::size_t size) noexcept { return (size + word - 1) / word * word; }

/// Says in shared memory that this end waits, as long as it lives: an end that stopped waiting by an exception must not
/// be rung.
template <class Word>
class waiting_word {
 public:
  waiting_word(std::atomic<Word>& where, Word value) noexcept : word_(where) {
    word_.store(value, std::memory_order_seq_cst);
  }
  ~waiting_word() { word_.store(0, std::memory_order_relaxed); }
  waiting_word(const waiting_word&) = delete;
  waiting_word& operator=(const waiting_word&) = delete;

 private:
  std::atomic<Word>& word_;
};

inline constexpr char bell = 'b', descriptors = 'd';
inline constexpr const char* writer_kind = "process_channel's writer";
inline constexpr const char* reader_kind = "process_channel's reader";

}  // namespace tutti::detail
