#include <tutti/core/stall_watch.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/pools.hpp>
#include <tutti/core/thread_record.hpp>
#include <tutti/core/unhandled.hpp>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <unordered_map>
#include <vector>

namespace tutti {
namespace {

void log_stall(const stall& found) {
  const double ms = std::chrono::duration<double, std::milli>(found.held).count();
  log(log_level::warn, "a coroutine holds a worker: it blocks, or computes without a pause",
      {{"task", found.task},
       {"pool", found.pool},
       {"worker", std::to_string(found.worker)},
       {"held_ms", std::to_string(static_cast<std::int64_t>(ms))},
       {"waits_in", found.waits_in.empty() ? "nothing that is known" : found.waits_in}});
}

std::string wait_of(std::string_view task) {
  for (const auto& wait : thread_record::all_waiting()) {
    if (wait.task == task) return wait.waits_for + " at " + to_string(wait.where);
  }
  return {};
}

}  // namespace

class stall_watch::watcher final : public timer_entry {
 public:
  watcher(std::chrono::nanoseconds limit, std::function<void(const stall&)> report)
      : limit_(limit), report_(std::move(report)) {
    if (limit <= std::chrono::nanoseconds::zero()) {
      throw std::invalid_argument("stall_watch: the limit is " + std::to_string(limit.count()) +
                                  " ns, but must be positive");
    }
    set(next_look());
  }
  ~watcher() { cancel_and_wait(); }

 private:
  struct sight {
    std::uint64_t turns = 0;
    std::chrono::steady_clock::time_point since{};
    bool reported = false;
    std::uint64_t look = 0;  // when it was last seen
  };

  std::chrono::steady_clock::time_point next_look() const {
    return detail::time_after(std::max<std::chrono::nanoseconds>(limit_ / 4, std::chrono::microseconds(100)));
  }

  void due() noexcept override {
    try {
      look();
    } catch (...) {  // no memory, or a report that throws
      report_unhandled(std::current_exception(), "stall_watch", unhandled_origin::callback);
    }
    set(next_look());  // does not throw here
  }

  void look() {
    const auto time = now();
    ++looks_;
    std::vector<stall> found;
    for (const auto& pool : all_pools()) {
      pool->for_each_worker([&](const worker& w) {
        const std::uint64_t turns = w.coroutine_turns.get();
        const char* const task = w.task_name.load(std::memory_order_acquire);
        if (w.coroutines.load(std::memory_order_relaxed) == 0 || task == nullptr) return;
        sight& seen = seen_[&w];
        const bool same = seen.look == looks_ - 1 && seen.turns == turns;
        if (!same) seen = {turns, time, false, 0};
        seen.look = looks_;
        if (seen.reported || time - seen.since < limit_) return;
        seen.reported = true;
        found.push_back({std::string(shown_name(task)), pool->name(), w.index, time - seen.since, wait_of(task)});
      });
    }
    std::erase_if(seen_, [&](const auto& entry) { return entry.second.look != looks_; });
    for (const stall& one : found) report_ ? report_(one) : log_stall(one);
  }

  const std::chrono::nanoseconds limit_;
  const std::function<void(const stall&)> report_;
  std::uint64_t looks_ = 1;
  std::unordered_map<const worker*, sight> seen_;
};

stall_watch::stall_watch(stall_watch_options options, std::function<void(const stall&)> report)
    : watcher_(std::make_unique<watcher>(options.limit, std::move(report))) {}
stall_watch::~stall_watch() = default;

}  // namespace tutti
