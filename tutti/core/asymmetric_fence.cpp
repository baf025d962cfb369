#include <tutti/core/asymmetric_fence.hpp>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace tutti {
namespace {

bool membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

}  // namespace

bool has_asymmetric_fence() noexcept {
  // No static that is initialised on first use: registering takes milliseconds, and a child forked meanwhile would wait
  // for its end for ever. To register twice does no harm.
  enum answer : int { unknown, yes, no };
  static constinit std::atomic<answer> known{unknown};
  answer seen = known.load(std::memory_order_relaxed);
  if (seen == unknown) {
    seen = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) ? yes : no;
    known.store(seen, std::memory_order_relaxed);
  }
  return seen == yes;
}

void asymmetric_fence_heavy() noexcept {
  if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) return;
  // A forked child may have to register for itself.
  if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) return;
  std::fputs("tutti: fatal: the kernel refuses membarrier, which it has granted before\n", stderr);
  std::abort();
}

}  // namespace tutti
