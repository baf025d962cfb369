// trace_summary for people: figures in tables.
#include <tutti/trace/trace_summary.hpp>

#include <tutti/trace/shown_text.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>
#include <vector>

namespace tutti {
namespace {

using detail::shown;

std::string time_text(double ns) {
  struct unit {
    double size;
    const char* name;
  };
  for (const unit& u : {unit{1e9, "s"}, unit{1e6, "ms"}, unit{1e3, "us"}}) {
    if (ns >= u.size * 0.9995) return fmt::format("{:.4g} {}", ns / u.size, u.name);
  }
  return fmt::format("{:.0f} ns", ns);
}

std::string time_text(std::int64_t ns) { return time_text(static_cast<double>(ns)); }

std::string share(std::int64_t part, std::int64_t of) {
  return of <= 0 ? "-" : fmt::format("{:.1f} %", 100.0 * static_cast<double>(part) / static_cast<double>(of));
}

void write_left_out(std::ostream& out, std::size_t all, std::size_t most) {
  if (all > most) out << fmt::format("  ... and {} more\n", all - most);
}

void write_dropped(const trace_summary& s, std::ostream& out, std::size_t most) {
  out << fmt::format("WARNING: {} events were dropped: what follows is about the rest.\n", s.dropped);
  if (s.no_room != 0) {
    out << fmt::format(
        "  {} were of more threads than there was room for; let the recording have more "
        "(trace_options::max_threads).\n",
        s.no_room);
  }
  std::vector<const trace_summary::thread*> threads;
  for (const trace_summary::thread& t : s.threads) {
    if (t.dropped != 0) threads.push_back(&t);
  }
  if (!threads.empty()) {
    out << fmt::format(
        "  {} were overwritten by later ones of their threads; record a shorter time, or give each thread more memory "
        "(trace_options::bytes_per_thread):\n",
        s.dropped - s.no_room);
    for (std::size_t i = 0; i < std::min(most, threads.size()); ++i)
      out << fmt::format("    {}: {}\n", shown(threads[i]->name, 40), threads[i]->dropped);
    write_left_out(out, threads.size(), most);
  }
  out << "  --tutti-trace and TUTTI_TRACE take no options: for those record by a trace_recorder in the program.\n";
}

std::string parallelism_text(const trace_summary& s) {
  if (!s.is_lower_bound())
    return fmt::format("parallelism {:.3g}, no more processors can be of use (an estimate)", s.parallelism());
  return fmt::format(
      "parallelism at least {:.3g}: as many threads were busy as there were workers, {}; record with more of them to "
      "see how far it goes",
      s.parallelism(), s.full.workers);
}

void write_threads(const trace_summary& s, std::ostream& out, std::size_t most) {
  out << fmt::format("\n{:<20}{:>10}{:>9}{:>9}{:>9}{:>10}{:>9}{:>8}{:>9}\n", "thread", "alive", "busy", "waiting",
                     "asleep", "overhead", "tasks", "steals", "sleeps");
  std::vector<const trace_summary::thread*> threads;
  threads.reserve(s.threads.size());
  for (const trace_summary::thread& t : s.threads) threads.push_back(&t);
  std::sort(threads.begin(), threads.end(),
            [](const auto* x, const auto* y) { return x->busy != y->busy ? x->busy > y->busy : x < y; });
  for (std::size_t i = 0; i < std::min(most, threads.size()); ++i) {
    const trace_summary::thread& t = *threads[i];
    out << fmt::format("{:<20}{:>10}{:>9}{:>9}{:>9}{:>10}{:>9}{:>8}{:>9}\n", shown(t.name, 16), time_text(t.alive),
                       share(t.busy, t.alive), share(t.waiting, t.alive),
                       t.is_worker ? share(t.idle, t.alive) : std::string("-"),
                       t.is_worker ? share(t.overhead, t.alive) : std::string("-"), t.tasks, t.steals, t.parks);
  }
  write_left_out(out, s.threads.size(), most);
}

void write_names(const trace_summary& s, std::ostream& out, std::size_t most) {
  if (s.names.empty()) return;
  out << fmt::format("\n{:<40}{:>10}{:>14}{:>14}{:>14}\n", "task", "count", "total work", "mean work", "longest work");
  for (std::size_t i = 0; i < std::min(most, s.names.size()); ++i) {
    const trace_summary::task_name& n = s.names[i];
    const std::string what = n.of_branches ? shown(n.name, 19) + ", stolen branches" : shown(n.name, 36);
    out << fmt::format("{:<40}{:>10}{:>14}{:>14}{:>14}\n", what, n.count, time_text(n.total),
                       n.count == 0 ? std::string("-") : time_text(n.mean()), time_text(n.longest));
  }
  write_left_out(out, s.names.size(), most);
}

void write_phases(const trace_summary& s, std::ostream& out, std::size_t most) {
  if (s.phases.empty()) return;
  out << fmt::format("\n{:<40}{:>10}{:>14}{:>14}\n", "phase", "count", "total", "longest");
  for (std::size_t i = 0; i < std::min(most, s.phases.size()); ++i) {
    const trace_summary::phase& p = s.phases[i];
    out << fmt::format("{:<40}{:>10}{:>14}{:>14}\n", shown(p.name, 36), p.count, time_text(p.total),
                       time_text(p.longest));
  }
  write_left_out(out, s.phases.size(), most);
}

void write_longest(const trace_summary& s, std::ostream& out, std::size_t most) {
  if (s.longest.empty()) return;
  out << fmt::format("\n{:<40}{:>12}{:>14}  {}\n", "longest runs, their waits included", "duration", "begun at",
                     "thread");
  for (std::size_t i = 0; i < std::min(most, s.longest.size()); ++i) {
    const trace_summary::run& r = s.longest[i];
    out << fmt::format("{:<40}{:>12}{:>14}  {}{}\n", shown(r.name, 36), time_text(r.duration), time_text(r.begin),
                       shown(r.thread, 16), r.unfinished ? " (unfinished)" : "");
  }
}

void write_waits(const trace_summary& s, std::ostream& out, std::size_t most) {
  if (s.waits.empty()) return;
  out << fmt::format("\n{:<40}{:>10}{:>12}{:>12}  {}\n", "waited in, for", "count", "total", "longest", "first at");
  for (std::size_t i = 0; i < std::min(most, s.waits.size()); ++i) {
    const trace_summary::wait& w = s.waits[i];
    const std::string what =
        w.what + (w.target.empty() ? "" : ", " + w.target) + (w.of_coroutines ? " (coroutines)" : "");
    out << fmt::format("{:<40}{:>10}{:>12}{:>12}  {}\n", shown(what, 36), w.count,
                       w.of_coroutines ? std::string("-") : time_text(w.total),
                       w.of_coroutines ? std::string("-") : time_text(w.longest), shown(w.where, 60));
  }
  write_left_out(out, s.waits.size(), most);
}

}  // namespace

void write_summary(const trace_summary& s, std::ostream& out, std::size_t most) {
  if (s.dropped != 0) write_dropped(s, out, most);
  std::uint64_t tasks = 0, steals = 0, publications = 0, branches = 0, parks = 0;
  for (const trace_summary::thread& t : s.threads) {
    tasks += t.tasks;
    branches += t.branches;
    steals += t.steals;
    publications += t.publications;
    parks += t.parks;
  }
  out << fmt::format("{} recorded, {} threads. {} tasks, {} stolen branches, {} publications, {} steals, {} sleeps.\n",
                     time_text(s.duration), s.threads.size(), tasks, branches, publications, steals, parks);
  out << fmt::format("Work {}, critical path {}", time_text(s.work), time_text(s.span));
  // Without work there is nothing to divide, and with events missing the critical path is not the whole one.
  if (s.span != 0 && s.dropped == 0) out << ": " << parallelism_text(s);
  out << ".\n";
  write_threads(s, out, most);
  write_phases(s, out, most);
  write_names(s, out, most);
  write_longest(s, out, most);
  write_waits(s, out, most);
}

}  // namespace tutti
