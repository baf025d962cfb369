// trace_summary: one sweep over all begins, ends and arrows in order of time.
#include <tutti/trace/trace_summary.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace tutti {
namespace {

// What happens at one moment. In this order, so that an arrow that begins with the slice, or where a wait ends, belongs
// to what goes on after that.
enum class step : std::uint8_t { end, begin, flow_out, flow_in, end_of_empty };

struct moment {
  std::int64_t at;
  step kind;
  std::uint32_t index;
};

// A task, a branch, or what a thread does outside of both: what is on it, and the longest chain of work up to now.
struct strand {
  std::int64_t path = 0;
  std::int64_t work = 0;  // of this run alone
};

// Sums of what a file claims may be anything.
void add_up(std::int64_t& sum, std::int64_t value) noexcept {
  if (__builtin_add_overflow(sum, value, &sum)) sum = std::numeric_limits<std::int64_t>::max();
}

class sweep {
 public:
  sweep(const timeline& of, trace_summary& into)
      : of_(of),
        out_(into),
        threads_(of.threads.size()),
        paths_(of.flows.size(), -1),
        positions_(of.slices.size(), nowhere) {
    for (std::size_t i = 0; i < threads_.size(); ++i) threads_[i].now = of.threads[i].begin;
  }
  void run();

 private:
  struct level {
    std::size_t slice;  // outermost: none
    bool is_wait;       // or sleep: no work
    strand own;         // of a task or branch
    bool called;        // by what it runs on top of, as far as is known: then that goes on after it
    std::size_t works;  // position of the innermost level up to this one that is no wait; or nowhere
  };
  struct on_thread {
    std::int64_t now = 0;
    strand outside;
    std::vector<level> stack;
    std::vector<std::pair<std::int64_t, std::int64_t>> worked;  // from, to
  };

  static constexpr std::size_t nowhere = ~std::size_t{0};

  std::vector<moment> moments() const;
  void pass_time(std::uint32_t thread, std::int64_t until);
  strand& innermost(on_thread& here);
  void begin(std::size_t index);
  void end(std::size_t index);
  void find_full_time();

  // However deep a file nests its slices, each begin and end costs the same: no stack is searched.
  const timeline& of_;
  trace_summary& out_;
  std::vector<on_thread> threads_;
  std::vector<std::int64_t> paths_;     // by flow: the chain up to its cause; -1: not seen
  std::vector<std::size_t> positions_;  // by slice: its level in the stack of its thread
  std::unordered_map<timeline::text, trace_summary::task_name> tasks_, branches_;
};

std::vector<moment> sweep::moments() const {
  std::vector<moment> all;
  all.reserve(2 * (of_.slices.size() + of_.flows.size()));
  for (std::uint32_t i = 0; i < of_.slices.size(); ++i) {
    const timeline::slice& one = of_.slices[i];
    if (one.kind == slice_kind::span) continue;
    all.push_back({one.begin, step::begin, i});
    all.push_back({one.end, one.end == one.begin ? step::end_of_empty : step::end, i});
  }
  for (std::uint32_t i = 0; i < of_.flows.size(); ++i) {
    all.push_back({of_.flows[i].from, step::flow_out, i});
    all.push_back({of_.flows[i].to, step::flow_in, i});
  }
  std::sort(all.begin(), all.end(), [](const moment& x, const moment& y) {
    if (x.at != y.at) return x.at < y.at;
    if (x.kind != y.kind) return x.kind < y.kind;
    // Slices are in order of their begin, outer ones first; they end the other way round.
    return x.kind == step::end || x.kind == step::end_of_empty ? x.index > y.index : x.index < y.index;
  });
  return all;
}

// Whose chain goes on with what happens here: who waits goes on with its own.
strand& sweep::innermost(on_thread& here) {
  const std::size_t at = here.stack.empty() ? nowhere : here.stack.back().works;
  return at == nowhere ? here.outside : here.stack[at].own;
}

void sweep::pass_time(std::uint32_t thread, std::int64_t until) {
  on_thread& here = threads_[thread];
  const std::int64_t passed = until - here.now;
  if (passed <= 0) return;
  here.now = until;
  trace_summary::thread& sums = out_.threads[thread];
  if (!here.stack.empty() && here.stack.back().is_wait) {
    const bool asleep = of_.slices[here.stack.back().slice].kind == slice_kind::park;
    (asleep ? sums.idle : sums.waiting) += passed;
  } else if (here.stack.empty() && sums.is_worker) {
    sums.overhead += passed;
  } else {
    strand& own = innermost(here);
    own.path += passed;
    own.work += passed;
    out_.span = std::max(out_.span, own.path);
    sums.busy += passed;
    if (here.worked.empty() || here.worked.back().second != until - passed) here.worked.emplace_back(until - passed, 0);
    here.worked.back().second = until;
  }
}

void sweep::begin(std::size_t index) {
  const timeline::slice& one = of_.slices[index];
  pass_time(one.thread, one.begin);
  const bool is_wait = one.kind == slice_kind::wait || one.kind == slice_kind::park;
  on_thread& here = threads_[one.thread];
  const std::size_t position = here.stack.size();
  const std::size_t works = !is_wait ? position : position == 0 ? nowhere : here.stack.back().works;
  here.stack.push_back({index, is_wait, {innermost(here).path, 0}, true, works});
  positions_[index] = position;
}

void sweep::end(std::size_t index) {
  const timeline::slice& one = of_.slices[index];
  on_thread& here = threads_[one.thread];
  pass_time(one.thread, one.end);
  const std::size_t position = positions_[index];
  if (position == nowhere) return;  // it ended with one below it
  const strand done = here.stack[position].own;
  const bool called = here.stack[position].called;
  while (here.stack.size() > position) {
    positions_[here.stack.back().slice] = nowhere;
    here.stack.pop_back();
  }
  if (called) innermost(here).path = std::max(innermost(here).path, done.path);
  if (one.kind != slice_kind::task && one.kind != slice_kind::branch) return;
  trace_summary::task_name& name = (one.kind == slice_kind::branch ? branches_ : tasks_)[one.name];
  if (!one.resumed) ++name.count;
  add_up(name.total, done.work);
  name.longest = std::max(name.longest, done.work);
}

// Threads outside of pools count as well: one that waits for its own loop works in it, in place of a worker.
void sweep::find_full_time() {
  struct pool {
    std::int64_t there = 0, busy = 0;
  };
  struct change {
    std::int64_t at;
    pool* of;  // null: of none
    std::int64_t there, busy;
  };
  // Pools may have one name: workers of one name are of different ones.
  std::map<std::pair<std::string_view, int>, pool> pools;
  std::unordered_map<std::string_view, int> seen;
  std::vector<change> changes;
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    const timeline::thread& one = of_.threads[i];
    const std::string_view name = one.name;
    pool* const of = one.is_worker ? &pools[{name.substr(0, name.rfind('/')), seen[name]++}] : nullptr;
    if (of != nullptr) {
      changes.push_back({one.begin, of, 1, 0});
      changes.push_back({one.end, of, -1, 0});
    }
    for (const auto& [from, to] : threads_[i].worked) {
      changes.push_back({from, of, 0, 1});
      changes.push_back({to, of, 0, -1});
    }
  }
  std::sort(changes.begin(), changes.end(), [](const change& x, const change& y) { return x.at < y.at; });
  std::int64_t there = 0, busy = 0;  // there: of pools of which somebody works
  double worker_time = 0;
  for (std::size_t i = 0; i + 1 < changes.size(); ++i) {
    const change& now = changes[i];
    busy += now.busy;
    if (pool* const of = now.of) {
      there -= of->busy > 0 ? of->there : 0;
      of->there += now.there;
      of->busy += now.busy;
      there += of->busy > 0 ? of->there : 0;
    }
    const std::int64_t passed = changes[i + 1].at - now.at;
    if (passed == 0 || there <= 0 || 5 * busy < 4 * there) continue;
    out_.full.total += passed;
    worker_time += static_cast<double>(there) * static_cast<double>(passed);
  }
  if (out_.full.total == 0) return;
  out_.full.workers = static_cast<std::size_t>(std::llround(worker_time / static_cast<double>(out_.full.total)));
}

void sweep::run() {
  for (const moment& m : moments()) {
    switch (m.kind) {
      case step::begin: begin(m.index); break;
      case step::end:
      case step::end_of_empty: end(m.index); break;
      case step::flow_out: {
        const timeline::flow& flow = of_.flows[m.index];
        pass_time(flow.from_thread, flow.from);
        paths_[m.index] = innermost(threads_[flow.from_thread]).path;
        break;
      }
      case step::flow_in: {
        const timeline::flow& flow = of_.flows[m.index];
        pass_time(flow.to_thread, flow.to);
        on_thread& there = threads_[flow.to_thread];
        strand& to = innermost(there);
        const bool begins = !there.stack.empty() && !there.stack.back().is_wait &&
                            of_.slices[there.stack.back().slice].begin == flow.to;
        if (begins && std::exchange(there.stack.back().called, false)) to.path = 0;
        // To a worker that was asleep leads no chain of work, only a reason to look for some.
        const bool to_worker_itself = &to == &there.outside && out_.threads[flow.to_thread].is_worker;
        if (!to_worker_itself) to.path = std::max(to.path, paths_[m.index]);
        out_.span = std::max(out_.span, to.path);
        break;
      }
    }
  }
  for (std::uint32_t i = 0; i < threads_.size(); ++i) pass_time(i, of_.threads[i].end);
  find_full_time();
  for (auto* const names : {&tasks_, &branches_}) {
    for (auto& [text, name] : *names) {
      name.name = of_[text];
      name.of_branches = names == &branches_;
      out_.names.push_back(std::move(name));
    }
  }
}

void count_waits(const timeline& of, trace_summary& into) {
  std::map<std::tuple<timeline::text, timeline::text, bool>, trace_summary::wait> waits;
  for (const timeline::slice& one : of.slices) {
    const bool of_coroutine = one.kind == slice_kind::task && one.detail != 0;
    if (one.kind != slice_kind::wait && !of_coroutine) continue;
    const timeline::text what = of_coroutine ? one.detail : one.name;
    const timeline::text target = of_coroutine ? 0 : one.detail;
    trace_summary::wait& sum = waits[{what, target, of_coroutine}];
    if (sum.count++ == 0) {
      sum.what = of[what];
      sum.target = of[target];
      sum.where = of[one.where];
      sum.of_coroutines = of_coroutine;
    }
    if (of_coroutine) continue;
    add_up(sum.total, one.end - one.begin);
    sum.longest = std::max(sum.longest, one.end - one.begin);
  }
  for (auto& [key, sum] : waits) into.waits.push_back(std::move(sum));
  std::sort(into.waits.begin(), into.waits.end(), [](const auto& x, const auto& y) {
    return std::tie(y.total, y.count, x.what, x.target) < std::tie(x.total, x.count, y.what, y.target);
  });
}

void sum_phases(const timeline& of, trace_summary& into) {
  std::unordered_map<timeline::text, trace_summary::phase> phases;
  for (const timeline::slice& one : of.slices) {
    if (one.kind != slice_kind::span) continue;
    trace_summary::phase& sum = phases[one.name];
    ++sum.count;
    add_up(sum.total, one.end - one.begin);
    sum.longest = std::max(sum.longest, one.end - one.begin);
  }
  for (auto& [text, sum] : phases) {
    sum.name = of[text];
    into.phases.push_back(std::move(sum));
  }
  std::sort(into.phases.begin(), into.phases.end(),
            [](const auto& x, const auto& y) { return std::tie(y.total, x.name) < std::tie(x.total, y.name); });
}

void find_longest(const timeline& of, trace_summary& into, std::size_t most) {
  std::vector<const timeline::slice*> runs;
  for (const timeline::slice& one : of.slices) {
    if (one.kind == slice_kind::task || one.kind == slice_kind::branch) runs.push_back(&one);
  }
  const std::size_t kept = std::min(most, runs.size());
  std::partial_sort(runs.begin(), runs.begin() + static_cast<std::ptrdiff_t>(kept), runs.end(),
                    [](const timeline::slice* x, const timeline::slice* y) {
                      const std::int64_t a = x->end - x->begin, b = y->end - y->begin;
                      return a != b ? a > b : x->begin < y->begin;
                    });
  for (std::size_t i = 0; i < kept; ++i) {
    const timeline::slice& one = *runs[i];
    into.longest.push_back({of[one.name], of.threads[one.thread].name, one.begin, one.end - one.begin, one.unfinished});
  }
}

}  // namespace

trace_summary summarise(const timeline& recorded, std::size_t most_runs) {
  trace_summary made;
  made.duration = recorded.duration;
  made.dropped = recorded.all_dropped();
  made.no_room = recorded.dropped;
  for (const timeline::thread& one : recorded.threads) {
    trace_summary::thread& sums = made.threads.emplace_back();
    sums.name = one.name;
    sums.is_worker = one.is_worker;
    sums.alive = std::max<std::int64_t>(0, one.end - one.begin);
    sums.dropped = one.dropped;
  }
  for (const timeline::slice& one : recorded.slices) {
    trace_summary::thread& sums = made.threads[one.thread];
    sums.tasks += one.kind == slice_kind::task && !one.resumed ? 1 : 0;
    sums.branches += one.kind == slice_kind::branch ? 1 : 0;
    sums.parks += one.kind == slice_kind::park ? 1 : 0;
  }
  for (const timeline::mark& one : recorded.marks) {
    trace_summary::thread& sums = made.threads[one.thread];
    sums.steals += one.kind == mark_kind::steal ? 1 : 0;
    sums.publications += one.kind == mark_kind::publish ? 1 : 0;
  }
  sweep(recorded, made).run();
  for (const trace_summary::thread& sums : made.threads) add_up(made.work, sums.busy);
  std::sort(made.names.begin(), made.names.end(), [](const auto& x, const auto& y) {
    return std::tie(y.total, x.name, x.of_branches) < std::tie(x.total, y.name, y.of_branches);
  });
  count_waits(recorded, made);
  sum_phases(recorded, made);
  find_longest(recorded, made, most_runs);
  return made;
}

}  // namespace tutti
