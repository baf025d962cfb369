#include <tutti/core/dump.hpp>

#include <tutti/core/coroutine_run.hpp>
#include <tutti/core/pools.hpp>
#include <tutti/core/thread_record.hpp>

#include <iomanip>
#include <ostream>
#include <sstream>

namespace tutti {
namespace {

double seconds(std::chrono::nanoseconds ns) { return std::chrono::duration<double>(ns).count(); }

void dump_pool(std::ostream& out, const scheduler& pool) {
  const pool_stats s = pool.stats();
  out << "pool \"" << pool.name() << "\": " << pool.concurrency() << " threads, " << s.queue_depth
      << " queued; submitted " << s.submitted << ", run " << s.run << ", stolen " << s.stolen << ", published "
      << s.published << ", parked " << s.parked << ", spare threads " << s.spare_threads << ", busy " << seconds(s.busy)
      << " s\n";
  pool.for_each_worker([&](const worker& w) {
    const char* const task = w.task_name.load(std::memory_order_acquire);
    const bool busy = w.busy_since.load(std::memory_order_relaxed) != 0;
    if (w.guest && task == nullptr) return;
    out << "  " << (w.guest ? "guest " : "worker ") << w.index << ": ";
    if (task != nullptr) {
      out << "runs " << (*task == '\0' ? std::string_view("an unnamed task") : shown_name(task));
    } else {
      out << (busy ? "busy" : "idle");
    }
    if (const std::size_t queued = w.ring.size()) out << ", " << queued << " queued";
    out << '\n';
  });
}

}  // namespace

void dump(std::ostream& to) {
  std::ostringstream out;  // gathered first: the caller's stream keeps its format, and lines stay together
  out << std::setprecision(3);
  for (const auto& pool : all_pools()) dump_pool(out, *pool);
  for (const auto& wait : thread_record::all_waiting()) {
    out << "thread " << wait.thread_id << " (" << wait.thread_name << ")";
    if (!wait.task.empty()) out << " in task " << shown_name(wait.task);
    out << " waits in " << wait.waits_for;
    if (const std::string where = to_string(wait.where); !where.empty()) out << " at " << where;
    out << " for " << seconds(wait.since) << " s\n";
  }
  for (const std::string& text : describe_coroutines()) out << text;
  to << out.str();
}

}  // namespace tutti
