#include <tutti/process/pool_wire.hpp>

#include <tutti/process/process_futex.hpp>

namespace tutti::detail {
namespace {

bool wake_if_asleep(std::atomic<std::uint32_t>& who, wake_hint& hint) noexcept {
  std::uint32_t seen = bell_words::asleep;
  if (!who.compare_exchange_strong(seen, bell_words::awake, std::memory_order_seq_cst)) return false;
  hint.wakes();
  process_futex_wake(who, 1);
  return true;
}

}  // namespace

void ring(bell_words& bell) noexcept {
  if (wake_if_asleep(bell.visitor, bell.visitor_hint)) return;
  if (bell.visitor.load(std::memory_order_seq_cst) == bell_words::away) wake_if_asleep(bell.resident, bell.resident_hint);
}

void ring_loudly(bell_words& bell) noexcept {
  if (!wake_if_asleep(bell.visitor, bell.visitor_hint)) process_futex_wake(bell.visitor, 1);
  if (!wake_if_asleep(bell.resident, bell.resident_hint)) process_futex_wake(bell.resident, 1);
}

}  // namespace tutti::detail
