#include <tutti/process/shared_value.hpp>

#include <tutti/core/blocking_wait.hpp>
#include <tutti/core/spin.hpp>

#include <algorithm>

namespace tutti::detail {

bool wait_for_change(const change_count& changes, bool (*changed)(void*), void* context,
                     std::chrono::steady_clock::time_point deadline, const place& here) {
  using clock = std::chrono::steady_clock;
  if (changed(context)) return true;
  if (clock::now() >= deadline) return false;
  for (spinner spin(spinner::before_sleep); spin.once();) {
    if (changed(context)) return true;
  }
  const wait_how how{
      .here = here, .what = "shared_value::wait", .instead = "a task of a thread_pool that waits for it"};
  const blocking_wait blocked(&changes, how);
  for (;;) {
    // acquire: pairs with notify_all. Once the count is read, a change that is not seen below comes with another count,
    // so that there is no sleep over it.
    const std::uint32_t seen = changes.count.load(std::memory_order_acquire);
    if (changed(context)) return true;
    const auto now = clock::now();
    if (now >= deadline) return false;
    process_futex_wait(changes.count, seen, std::min(deadline, now + slow_look));
  }
}

}  // namespace tutti::detail
