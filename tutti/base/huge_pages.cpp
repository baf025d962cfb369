#include <tutti/base/huge_pages.hpp>

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>

namespace tutti::detail {

void advise_huge_pages(void* block, std::size_t size) noexcept {
  // Of x86-64, and of aarch64 with pages of 4 KiB; elsewhere the advice is still a good one for so long a block.
  constexpr std::uintptr_t huge = std::uintptr_t{2} << 20;
  constexpr std::size_t least = std::size_t{4} << 20;
  if (size < least) return;
  const int before = errno;
  // Only what lies in the block as a whole, so that it takes no more memory than it did.
  const std::uintptr_t from = (reinterpret_cast<std::uintptr_t>(block) + huge - 1) / huge * huge;
  const std::uintptr_t to = (reinterpret_cast<std::uintptr_t>(block) + size) / huge * huge;
  if (from < to) ::madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
  errno = before;
}

}  // namespace tutti::detail
