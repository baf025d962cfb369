// silent_workers: who they are, and what they did.
#include <tutti/trace/silent_workers.hpp>

#include <tutti/core/future_state.hpp>
#include <tutti/core/pools.hpp>

#include <new>
#include <string_view>

namespace tutti::detail {

std::vector<seen_worker> workers_now() noexcept {
  try {
    std::vector<seen_worker> all;
    for (const auto& pool : all_pools()) {
      if (pool->left_behind()) continue;
      pool->for_each_worker([&](const worker& w) {
        if (w.guest) return;
        seen_worker& one = all.emplace_back();
        one.self = &w;
        one.name = pool->name() + '/' + std::to_string(w.index);
        one.is_busy = w.busy_since.load(std::memory_order_relaxed) != 0;
        one.task = w.task_name.load(std::memory_order_acquire);
      });
    }
    return all;
  } catch (const std::bad_alloc&) {
    return {};
  }
}

void add_silent_workers(const std::vector<seen_worker>& silent, timeline& into) {
  for (const seen_worker& one : silent) {
    const auto thread = static_cast<std::uint32_t>(into.threads.size());
    timeline::thread& made = into.threads.emplace_back();
    made.name = one.name;
    made.is_worker = true;
    made.end = into.duration;
    timeline::slice& all_the_time = into.slices.emplace_back();
    all_the_time.thread = thread;
    all_the_time.kind = one.is_busy ? slice_kind::task : slice_kind::park;
    all_the_time.end = into.duration;
    all_the_time.unfinished = true;
    if (!one.is_busy) continue;
    const bool has_name = one.task != nullptr && *one.task != '\0';
    all_the_time.name = into.add(has_name ? shown_name(one.task) : std::string_view("task"));
  }
  into.sort();
}

}  // namespace tutti::detail
