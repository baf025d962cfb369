// record_ring: records from one process to another through shared memory, each of which the writer may take back as
// long as the reader has not begun with it.
//
// `written_` and `read_` count bytes, modulo 2^32; each is stored by its own side alone. The writer stores `written_`
// after the record is whole, and never touches bytes that `read_` has not passed; the reader stores `read_` when it is
// through with a record. So a record is owned by the writer until it is published, and readable until it is popped;
// what a writer that was killed has not published does not exist. Who reads `taken` by a compare-exchange on a record's
// state has it, reader or writer (`claim`, `revoke`): the other one's fails.
//
// written_: seq_cst, as its reader sleeps: it says so (seq_cst), then looks at written_ (seq_cst); the writer stores
// written_, then looks whether the reader sleeps. read_: release and acquire; for a writer that waits for room the same
// holds, seq_cst.
#pragma once
#include <tutti/base/error.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tutti::detail {

struct record_ring_words {
  alignas(64) std::atomic<std::uint32_t> written;
  alignas(64) std::atomic<std::uint32_t> read;
};

struct record {
  enum class state : std::uint32_t { ready, taken, revoked, filler };
  std::atomic<state> now;
  std::uint32_t size;                   ///< bytes behind this
  std::atomic<std::uint32_t> stopping;  ///< 1: the writer asks who works on it to stop
  std::uint32_t unused;
  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
};

/// One side's view. `Capacity`: bytes, a power of two.
template <std::uint32_t Capacity>
class record_ring {
 public:
  struct memory {
    record_ring_words words;
    alignas(64) std::byte bytes[Capacity];
  };
  /// The most bytes of one record: several fit, wherever the last one ended.
  static constexpr std::uint32_t most = Capacity / 4 - sizeof(record);

  explicit record_ring(memory& shared) noexcept : shared_(shared) {}

  // ---- the writer
  /// Room for a record of `size` bytes, at most `most`; null when there is none now.
  std::byte* prepare(std::uint32_t size) noexcept {
    const std::uint32_t whole = whole_size(size);
    const std::uint32_t to_end = Capacity - at_ % Capacity;
    const std::uint32_t skipped = whole <= to_end ? 0 : to_end;
    if (Capacity - (at_ - other_) < whole + skipped) {
      const std::uint32_t seen = shared_.words.read.load(std::memory_order_seq_cst);
      if (at_ - seen > Capacity) return nullptr;  // see has_mad_reader()
      other_ = seen;
      if (Capacity - (at_ - other_) < whole + skipped) return nullptr;
    }
    if (skipped != 0) {
      record& filler = *record_at(at_);
      filler.now.store(record::state::filler, std::memory_order_relaxed);
      filler.size = skipped - static_cast<std::uint32_t>(sizeof(record));
      at_ += skipped;
    }
    record& made = *record_at(at_);
    made.now.store(record::state::ready, std::memory_order_relaxed);
    made.stopping.store(0, std::memory_order_relaxed);
    made.size = size;
    prepared_ = whole;  // not read back from where others write
    return made.data();
  }
  /// Whether the reader says that it has read what was never written: then there never will be room.
  [[nodiscard]] bool has_mad_reader() const noexcept {
    return at_ - shared_.words.read.load(std::memory_order_acquire) > Capacity;
  }
  /// Publishes what was prepared; its position, for revoke.
  std::uint32_t publish() noexcept {
    const std::uint32_t position = at_;
    at_ += prepared_;
    shared_.words.written.store(at_, std::memory_order_seq_cst);
    return position;
  }
  /// Takes back a record that the reader has not begun with; true if it will not.
  bool revoke(std::uint32_t position) noexcept {
    if (is_passed(position)) return false;
    auto seen = record::state::ready;
    return record_at(position)->now.compare_exchange_strong(seen, record::state::revoked, std::memory_order_acq_rel);
  }
  /// Of a record that was published: whether the reader has begun with it.
  [[nodiscard]] bool is_taken(std::uint32_t position) const noexcept {
    return is_passed(position) || record_at(position)->now.load(std::memory_order_acquire) == record::state::taken;
  }

  /// Asks who works on a record to stop; nothing if it is through with it.
  void ask_to_stop(std::uint32_t position) noexcept {
    if (!is_passed(position)) record_at(position)->stopping.store(1, std::memory_order_seq_cst);
  }
  /// Whether the reader is through with a record.
  [[nodiscard]] bool is_passed(std::uint32_t position) const noexcept {
    const std::uint32_t read = shared_.words.read.load(std::memory_order_acquire);
    return static_cast<std::int32_t>(position - read) < 0;
  }

  // ---- the reader
  /// The next record, or null. What the writer says is checked: throws decode_error.
  record* front() {
    for (;;) {
      if (at_ == other_) {
        other_ = shared_.words.written.load(std::memory_order_seq_cst);
        if (at_ == other_) return nullptr;
        if (other_ - at_ > Capacity) throw decode_error("a ring of records says that it has more than it can hold");
      }
      record* const next = record_at(at_);
      const std::uint32_t size = next->size;
      if (size > Capacity - at_ % Capacity - sizeof(record) || whole_size(size) > other_ - at_)
        throw decode_error("a ring of records has one that is longer than what was written");
      front_size_ = size;
      if (next->now.load(std::memory_order_acquire) != record::state::filler) return next;
      pop();
    }
  }
  /// Bytes of front().
  [[nodiscard]] std::uint32_t front_size() const noexcept { return front_size_; }
  /// Before work on front() begins: false when it was revoked.
  bool claim(record& of) noexcept {
    auto seen = record::state::ready;
    return of.now.compare_exchange_strong(seen, record::state::taken, std::memory_order_acq_rel);
  }
  /// Gives front() back to the writer.
  void pop() noexcept {
    at_ += whole_size(front_size_);
    shared_.words.read.store(at_, std::memory_order_seq_cst);
  }
  /// Whether there is nothing to read, for who is about to sleep.
  [[nodiscard]] bool is_empty() const noexcept { return shared_.words.written.load(std::memory_order_seq_cst) == at_; }

 private:
  static constexpr std::uint32_t whole_size(std::uint32_t size) noexcept {
    return (size + static_cast<std::uint32_t>(sizeof(record)) + 15) & ~15U;
  }
  record* record_at(std::uint32_t position) const noexcept {
    return reinterpret_cast<record*>(shared_.bytes + position % Capacity);
  }
  memory& shared_;
  std::uint32_t at_ = 0;     // where we are: written, or read
  std::uint32_t other_ = 0;  // where the other side was seen last
  std::uint32_t front_size_ = 0, prepared_ = 0;
};

}  // namespace tutti::detail
