#include <tutti/core/per_worker.hpp>

#include <tutti/base/at_fork.hpp>

#include <queue>
#include <vector>

namespace tutti::detail {
namespace {

// Smallest free number first, so that the tables stay small.
struct numbers {
  std::mutex mutex;
  std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> free;
  std::uint32_t next = 0;
};

struct own_number {
  own_number() {
    auto& all = process_wide<numbers>();
    const std::lock_guard lock(all.mutex);
    if (all.free.empty()) {
      value = all.next++;
    } else {
      value = all.free.top();
      all.free.pop();
    }
  }
  ~own_number() {
    auto& all = process_wide<numbers>();
    const std::lock_guard lock(all.mutex);
    all.free.push(value);
  }
  std::uint32_t value;
};

}  // namespace

std::uint32_t thread_index() {
  thread_local const own_number number;
  return number.value;
}

}  // namespace tutti::detail
