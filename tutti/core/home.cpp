#include <tutti/core/home.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/pools.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/thread_pool.hpp>

#include <atomic>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace tutti {
namespace {

struct directory {
  std::mutex mutex;
  std::unordered_map<std::uint64_t, std::weak_ptr<call_target>> homes;
  std::vector<std::weak_ptr<scheduler>> pools;
};

directory& the_directory() { return process_wide<directory>(); }

// Null when it is gone, or was never told of.
std::shared_ptr<call_target> find_home(std::uint64_t id) {
  auto& all = the_directory();
  const std::lock_guard lock(all.mutex);
  const auto at = all.homes.find(id);
  return at == all.homes.end() ? nullptr : at->second.lock();
}

}  // namespace

std::uint64_t new_executor_id() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

void register_home(std::uint64_t id, std::weak_ptr<call_target> target) {
  auto& all = the_directory();
  const std::lock_guard lock(all.mutex);
  all.homes.emplace(id, std::move(target));
}

void forget_home(std::uint64_t id) noexcept {
  auto& all = the_directory();
  const std::lock_guard lock(all.mutex);
  all.homes.erase(id);
}

void start_at_home(std::uint64_t id, call work) noexcept {
  try {
    if (this_worker != nullptr && this_worker->pool->executor_id() == id)
      return this_worker->pool->start(std::move(work));
    if (id == 0) return default_pool().engine().start(std::move(work));
    if (const auto target = find_home(id)) return target->start(std::move(work));
    std::move(work).abandon(std::make_exception_ptr(
        closed("the executor that a continuation was to run on is gone; keep it until its futures "
               "are done, or take results with get()")));
  } catch (const std::exception&) {
    // Shut down, or no memory or threads: whoever held the call has completed it with `closed`, as calls do when
    // dropped.
  }
}

void visit::wait_for_none(const std::atomic<std::uint32_t>& visitors) noexcept {
  while (visitors.load(std::memory_order_acquire) != 0) std::this_thread::yield();
}

home_ref home_here() noexcept {
  if (this_worker != nullptr) return {this_worker->pool->executor_id(), this_worker->pool};
  if (detail::loop_engine* const loop = detail::loop_engine::current()) return {loop->id(), loop};
  return {};
}

std::optional<home_ref> hold_home(std::uint64_t id) noexcept {
  if (id == 0) id = default_pool().engine().executor_id();
  const home_ref here = home_here();
  const std::shared_ptr<call_target> target = find_home(id);
  if (target == nullptr) return std::nullopt;
  switch (target->hold(/*from_outside=*/here.id != id)) {
    case call_target::hold_result::held: return home_ref{id, target.get()};
    case call_target::hold_result::can_not: return home_ref{id, nullptr};
    case call_target::hold_result::closed: break;
  }
  return std::nullopt;
}

bool is_driven_elsewhere(std::uint64_t id) noexcept {
  if (id == 0 || home_here().id == id || detail::loop_engine::drives(id)) return false;
  const std::shared_ptr<call_target> target = find_home(id);
  return target != nullptr && target->has_driver();
}

void register_pool(const std::shared_ptr<scheduler>& pool) {
  auto& all = the_directory();
  const std::lock_guard lock(all.mutex);
  std::erase_if(all.pools, [](const auto& p) { return p.expired(); });
  all.pools.push_back(pool);
}

std::vector<std::shared_ptr<scheduler>> all_pools() {
  std::vector<std::shared_ptr<scheduler>> alive;
  auto& all = the_directory();
  const std::lock_guard lock(all.mutex);
  for (const auto& pool : all.pools) {
    if (auto held = pool.lock(); held != nullptr && !held->left_behind()) alive.push_back(std::move(held));
  }
  return alive;
}

}  // namespace tutti
