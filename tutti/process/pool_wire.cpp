#include <tutti/process/pool_wire.hpp>

#include <tutti/process/process_futex.hpp>

namespace tutti::detail {
namespace {

bool wake_if_asleep(std::atomic<std::uint32_t>& who) noexcept {
  std::uint32_t seen = bell_words::asleep;
  if (!who.compare_exchange_strong(seen, bell_words::awake, std::memory_order_seq_cst)) return false;
  process_futex_wake(who, 1);
  return true;
}

}  // namespace

void ring(bell_words& bell) noexcept {
  if (wake_if_asleep(bell.visitor)) return;
  if (bell.visitor.load(std::memory_order_seq_cst) == bell_words::away) wake_if_asleep(bell.resident);
}

void ring_loudly(bell_words& bell) noexcept {
  for (std::atomic<std::uint32_t>* const who : {&bell.visitor, &bell.resident}) {
    if (!wake_if_asleep(*who)) process_futex_wake(*who, 1);
  }
}

}  // namespace tutti::detail
