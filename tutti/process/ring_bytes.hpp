// ring_bytes: copies into and out of a ring of bytes, across its end.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

namespace tutti::detail {

/// Copies `size` bytes to `start` in the ring, which is inside of it, and goes on at its beginning. At most as many as
/// it has.
inline void copy_into_ring(std::span<std::byte> ring, std::size_t start, const void* from, std::size_t size) noexcept {
  if (size == 0) return;  // memcpy wants real addresses
  const std::size_t first = std::min(size, ring.size() - start);
  std::memcpy(ring.data() + start, from, first);
  if (first != size) std::memcpy(ring.data(), static_cast<const std::byte*>(from) + first, size - first);
}

/// The other way round.
inline void copy_from_ring(std::span<const std::byte> ring, std::size_t start, void* to, std::size_t size) noexcept {
  if (size == 0) return;
  const std::size_t first = std::min(size, ring.size() - start);
  std::memcpy(to, ring.data() + start, first);
  if (first != size) std::memcpy(static_cast<std::byte*>(to) + first, ring.data(), size - first);
}

}  // namespace tutti::detail
