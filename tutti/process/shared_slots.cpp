#include <tutti/process/shared_slots.hpp>

#include <algorithm>
#include <cstring>

namespace tutti::detail {
namespace {

constexpr int tries = 64;

}  // namespace

void shared_slots::copy_out(std::uint64_t number, void* to, std::size_t size) noexcept {
  const std::uint64_t* const words = place(number, size);
  auto* const bytes = static_cast<std::byte*>(to);
  for (std::size_t at = 0; at < size; at += sizeof *words) {
    const std::uint64_t word =
        std::atomic_ref(const_cast<std::uint64_t&>(words[at / sizeof *words])).load(std::memory_order_acquire);
    std::memcpy(bytes + at, &word, std::min(sizeof word, size - at));
  }
}

void shared_slots::read(void* to, std::size_t size) {
  for (int i = 0; i < tries; ++i) {
    // seq_cst, as all that a shared_value does; acquire would do for the words that this number published. The second
    // look needs no order of its own: the loads of the words come before it, being acquire.
    const std::uint64_t number = writes_.load(std::memory_order_seq_cst);
    copy_out(number, to, size);
    if (writes_.load(std::memory_order_relaxed) == number) return;
  }
  const writer turn(*this, "shared_value::load");
  turn.read(to, size);
}

// relaxed: the lock gives us what the last writer did.
void shared_slots::writer::read(void* to, std::size_t size) const noexcept {
  slots_.copy_out(slots_.writes_.load(std::memory_order_relaxed), to, size);
}

void shared_slots::writer::write(const void* from, std::size_t size) noexcept {
  const std::uint64_t next = slots_.writes_.load(std::memory_order_relaxed) + 1;
  std::uint64_t* const words = slots_.place(next, size);
  const auto* const bytes = static_cast<const std::byte*>(from);
  for (std::size_t at = 0; at < size; at += sizeof *words) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, std::min(sizeof word, size - at));
    std::atomic_ref(words[at / sizeof *words]).store(word, std::memory_order_release);
  }
  // seq_cst, as all that a shared_value does; release would do for the words.
  slots_.writes_.store(next, std::memory_order_seq_cst);
}

}  // namespace tutti::detail
