// huge_pages: for long blocks that are filled as soon as they are allocated.
#pragma once
#include <cstddef>

namespace tutti::detail {

/// Asks the system for large pages under a block of `size` bytes that nobody has touched yet and that all of will be
/// written at once. A fresh block of 100 MB is 24,000 page faults otherwise, which take longer than copying it. A hint:
/// it never fails, and what has already pages keeps them. Short blocks are left alone.
void advise_huge_pages(void* block, std::size_t size) noexcept;

}  // namespace tutti::detail
