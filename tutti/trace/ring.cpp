// ring: its memory, and how it is copied.
#include <tutti/trace/ring.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

namespace tutti::detail {

std::size_t trace_ring::capacity_for(std::size_t bytes) noexcept {
  return std::bit_floor(std::max<std::size_t>(bytes / sizeof(slot), 2));
}

namespace {

// Zero pages until they are written: all atomics have a value from the start.
void* map_pages(std::size_t bytes) {
  void* const pages =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return pages;
}

}  // namespace

trace_ring::trace_ring(std::size_t bytes)
    : mask_(capacity_for(bytes) - 1), slots_(static_cast<slot*>(map_pages(capacity() * sizeof(slot)))) {}

trace_ring::~trace_ring() { ::munmap(slots_, capacity() * sizeof(slot)); }

// A wish: kernels before 5.14 do not know it, and then each page costs a fault.
void trace_ring::take_pages(std::uint64_t n) noexcept {
  const std::uint64_t begin = n - n % ahead;
  // The first after the memory was given back, if it ever was there: from here, once around.
  if (populated_until_.load(std::memory_order_relaxed) == 0) populated_once_at_ = begin + capacity();
  ::madvise(slots_ + (begin & mask_), std::min(ahead, capacity()) * sizeof(slot), MADV_POPULATE_WRITE);
  const std::uint64_t next = begin + ahead;
  populated_until_.store(next < populated_once_at_ ? next : ~std::uint64_t{0}, std::memory_order_relaxed);
}

void trace_ring::forget() noexcept {
  ::madvise(slots_, capacity() * sizeof(slot), MADV_DONTNEED);
  populated_until_.store(0, std::memory_order_relaxed);
}

std::vector<trace_event> trace_ring::copy(std::uint64_t first) const {
  std::vector<trace_event> events;
  const std::uint64_t end = count();
  std::uint64_t begin = std::max(first, end > mask_ ? end - mask_ : 0);
  if (begin >= end) return events;
  events.reserve(end - begin);
  for (std::uint64_t i = begin; i < end; ++i) {
    const slot& at = slots_[i & mask_];
    const std::uint64_t head = at.ticks_and_kind.load(std::memory_order_acquire);
    const std::uint64_t a = at.a.load(std::memory_order_acquire);
    const std::uint64_t b = at.b.load(std::memory_order_acquire);
    events.push_back({head >> 8U, static_cast<trace_kind>(head & 0xFFU), a, b});
  }
  // What was overwritten meanwhile, or is being overwritten now.
  const std::uint64_t seen = count_.load(std::memory_order_relaxed);
  const std::uint64_t safe = seen > mask_ ? seen - mask_ : 0;
  if (safe > begin)
    events.erase(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(std::min(safe, end) - begin));
  return events;
}

}  // namespace tutti::detail
