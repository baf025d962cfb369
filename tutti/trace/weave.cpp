// weave: slices by a stack per thread; then flows, each to the last cause before its effect.
#include <tutti/trace/weave.hpp>

#include <tutti/core/future_state.hpp>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

namespace tutti::detail {
namespace {

constexpr std::size_t no_slice = ~std::size_t{0};

const char* text_of(std::uint64_t number) noexcept {
  const auto* const text = reinterpret_cast<const char*>(static_cast<std::uintptr_t>(number));
  return text == nullptr ? "" : text;
}

// When and where something was seen, by its number. Addresses are used again, so a cause is looked for backwards from
// its effect.
class sightings {
 public:
  struct one {
    std::int64_t at;
    std::uint32_t thread;
    flow_kind kind;
    std::size_t slice = no_slice;  // of a join: what ended
    std::int64_t latest = 0;       // of a submit: not after that; 0: `at` is known
  };
  void add(std::uint64_t what, const one& seen) { all_[what].push_back(seen); }
  void sort() {
    for (auto& [what, list] : all_)
      std::sort(list.begin(), list.end(), [](const one& x, const one& y) { return x.at < y.at; });
  }
  /// The last one up to `at`, or null.
  const one* last(std::uint64_t what, std::int64_t at) const {
    const auto found = all_.find(what);
    if (found == all_.end()) return nullptr;
    const auto& list = found->second;
    const auto after =
        std::upper_bound(list.begin(), list.end(), at, [](std::int64_t t, const one& seen) { return t < seen.at; });
    return after == list.begin() ? nullptr : &*(after - 1);
  }

 private:
  std::unordered_map<std::uint64_t, std::vector<one>> all_;
};

class weaver {
 public:
  weaver(const tick_scale& scale, timeline& into) : scale_(scale), out_(into) {
    nameless_ = out_.add("task");
    earlier_ = out_.add("(begun earlier)");
  }
  void add(const recorded_thread& recorded);
  void finish();

 private:
  struct open {
    std::uint64_t id;
    std::size_t slice;
  };
  struct effect {
    std::uint64_t what;
    std::int64_t at;
    std::uint32_t thread;
    const sightings* causes;
    std::int64_t not_before = 0;
    std::size_t slice = no_slice;  // which begins
  };

  void add(const trace_event& event);
  void begin(slice_kind kind, std::uint64_t id, timeline::text name);
  std::size_t end(slice_kind kind, std::uint64_t id);
  std::size_t begun_earlier(slice_kind kind);
  void end_wait(slice_kind kind, std::uint64_t id, std::uint64_t parker);
  void close_from(std::size_t position, bool unfinished);
  timeline::slice* innermost(slice_kind kind);
  void mark(mark_kind kind, timeline::text name = 0, std::uint64_t number = 0) {
    out_.marks.push_back({thread_, kind, name, number, now_});
  }
  timeline::text text(std::uint64_t number);
  timeline::text task_name(std::uint64_t number);
  void count_sleepers();
  std::int64_t time_of(const trace_event& event) const {
    return scale_.ns_since_start(event.ticks, trace_event::tick_bits);
  }
  std::int64_t latest_time(const std::vector<trace_event>& events, std::size_t index) const;

  const tick_scale& scale_;
  timeline& out_;
  std::vector<effect> effects_;
  sightings queued_, suspended_, published_, ended_, woken_;
  std::unordered_map<std::uint64_t, timeline::text> texts_, task_names_;  // by address
  timeline::text nameless_, earlier_;
  // Of the thread that is being added.
  std::uint32_t thread_ = 0;
  std::int64_t now_ = 0, latest_ = 0, awake_since_ = 0;
  std::vector<open> stack_;
};

timeline::text weaver::text(std::uint64_t number) {
  const auto [found, is_new] = texts_.try_emplace(number, 0U);
  if (is_new) found->second = out_.add(text_of(number));
  return found->second;
}

timeline::text weaver::task_name(std::uint64_t number) {
  const auto [found, is_new] = task_names_.try_emplace(number, nameless_);
  if (is_new && *text_of(number) != '\0') found->second = out_.add(shown_name(text_of(number)));
  return found->second;
}

void weaver::begin(slice_kind kind, std::uint64_t id, timeline::text name) {
  stack_.push_back({id, out_.slices.size()});
  timeline::slice& made = out_.slices.emplace_back();
  made.thread = thread_;
  made.kind = kind;
  made.name = name;
  made.begin = now_;
}

void weaver::close_from(std::size_t position, bool unfinished) {
  for (std::size_t i = position; i < stack_.size(); ++i) {
    out_.slices[stack_[i].slice].end = now_;
    out_.slices[stack_[i].slice].unfinished = unfinished;
  }
  stack_.resize(position);
}

// Ends the innermost open slice of that kind and number, and what is open in it: the phases of a coroutine that waits.
// Returns its index; no_slice: it is none of ours.
std::size_t weaver::end(slice_kind kind, std::uint64_t id) {
  for (std::size_t i = stack_.size(); i-- > 0;) {
    const std::size_t slice = stack_[i].slice;
    if (stack_[i].id != id || out_.slices[slice].kind != kind) continue;
    close_from(i, /*unfinished=*/false);
    return slice;
  }
  return begun_earlier(kind);
}

// An end without a begin: what is open was begun inside of it. A phase may have been begun on another thread.
std::size_t weaver::begun_earlier(slice_kind kind) {
  if (kind == slice_kind::span) return no_slice;
  close_from(0, /*unfinished=*/false);
  timeline::slice& made = out_.slices.emplace_back();
  made.thread = thread_;
  made.kind = kind;
  made.name = kind == slice_kind::park ? 0 : earlier_;  // sleeps have no names
  made.begin = out_.threads[thread_].begin;
  made.end = now_;
  return out_.slices.size() - 1;
}

timeline::slice* weaver::innermost(slice_kind kind) {
  if (stack_.empty()) return nullptr;
  timeline::slice& slice = out_.slices[stack_.back().slice];
  return slice.kind == kind ? &slice : nullptr;
}

void weaver::end_wait(slice_kind kind, std::uint64_t id, std::uint64_t parker) {
  end(kind, id);
  effects_.push_back({parker, now_, thread_, &woken_, awake_since_});
  awake_since_ = now_;
}

void weaver::add(const trace_event& event) {
  const std::uint64_t a = event.a, b = event.b;
  switch (event.kind) {
    case trace_kind::task_submit: return queued_.add(a, {now_, thread_, flow_kind::submit, no_slice, latest_});
    case trace_kind::task_resume: return queued_.add(a, {now_, thread_, flow_kind::resume});
    case trace_kind::publish: published_.add(a, {now_, thread_, flow_kind::fork}); return mark(mark_kind::publish);
    case trace_kind::steal: return mark(mark_kind::steal);
    case trace_kind::wake: return woken_.add(a, {now_, thread_, flow_kind::wake});
    case trace_kind::task_begin:
      begin(slice_kind::task, a, task_name(b));
      return effects_.push_back({a, now_, thread_, &queued_, 0, stack_.back().slice});
    case trace_kind::branch_begin:
      begin(slice_kind::branch, a, task_name(b));
      return effects_.push_back({a, now_, thread_, &published_});
    case trace_kind::task_end: {
      const std::size_t slice = end(slice_kind::task, a);
      if (b != 0) {
        ended_.add(b, {out_.slices[slice].begin, thread_, flow_kind::join, slice});
      } else {
        suspended_.add(a, {now_ - 1, thread_, flow_kind::go_on});
      }
      return;
    }
    case trace_kind::branch_end: {
      const std::size_t slice = end(slice_kind::branch, a);
      return ended_.add(a, {out_.slices[slice].begin, thread_, flow_kind::join, slice});
    }
    case trace_kind::join: return effects_.push_back({a, now_, thread_, &ended_});
    case trace_kind::task_wait:
      // Not always the innermost slice: phases may be open in it.
      for (const open& o : stack_) {
        if (o.id == a) out_.slices[o.slice].detail = text(b);
      }
      return;
    case trace_kind::park: return begin(slice_kind::park, a, 0);
    case trace_kind::unpark: return end_wait(slice_kind::park, a, a);
    case trace_kind::wait_begin: return begin(slice_kind::wait, a, text(b));
    case trace_kind::wait_end: return end_wait(slice_kind::wait, a, b);
    case trace_kind::wait_place:
      if (timeline::slice* const wait = innermost(slice_kind::wait))
        wait->where = out_.add(std::string(text_of(a)) + ':' + std::to_string(b));
      return;
    case trace_kind::wait_name:
      if (timeline::slice* const wait = innermost(slice_kind::wait)) {
        const std::string name = text_of(b);
        wait->detail = out_.add(text_of(a) + (name.empty() ? name : " \"" + name + '"'));
      }
      return;
    case trace_kind::thread_start: out_.threads[thread_].begin = now_; return;
    case trace_kind::thread_stop: out_.threads[thread_].end = now_; return;
    case trace_kind::span_begin: return begin(slice_kind::span, a, text(b));
    case trace_kind::span_end: end(slice_kind::span, a); return;
    case trace_kind::mark: return mark(mark_kind::user, text(a), b);
    case trace_kind::count: return out_.counters.push_back({text(a), static_cast<std::int64_t>(b), now_});
  }
}

// Submits that share a look at the clock were evenly spread up to the next look; or else the thread did something long
// between two of them, nobody knows which: then each was as late as it can have been.
std::int64_t weaver::latest_time(const std::vector<trace_event>& events, std::size_t index) const {
  const auto shares = [&](std::size_t i) {
    return i < events.size() && events[i].kind == trace_kind::task_submit && events[i].ticks == events[index].ticks;
  };
  std::size_t first = index, after = index + 1;
  while (first > 0 && shares(first - 1)) --first;
  while (shares(after)) ++after;
  if (first == index) return 0;  // looked itself
  const std::int64_t begin = time_of(events[first]);
  const std::int64_t end = after < events.size() ? time_of(events[after]) : scale_.duration_ns();
  const auto count = static_cast<std::int64_t>(after - first);
  constexpr std::int64_t dense = 500;  // twice what the recorder takes for dense
  if (end - begin > dense * count) return end - 1;
  return begin + (end - begin) * static_cast<std::int64_t>(index - first) / count;
}

void weaver::add(const recorded_thread& recorded) {
  thread_ = static_cast<std::uint32_t>(out_.threads.size());
  timeline::thread& about = out_.threads.emplace_back(recorded.about);
  const std::int64_t end = scale_.duration_ns();
  about.begin = 0;
  about.end = end;
  now_ = -1;
  awake_since_ = 0;
  stack_.clear();
  bool first = true;
  for (std::size_t i = 0; i < recorded.events.size(); ++i) {
    const trace_event& event = recorded.events[i];
    const std::int64_t at = time_of(event);
    if (at > end) break;  // by a thread that did not know yet that it is over
    latest_ = event.kind == trace_kind::task_submit ? latest_time(recorded.events, i) : 0;
    // Events of one thread never happen at once, however coarse the clock: their order is their time.
    now_ = std::max({at, now_ + 1, std::int64_t{0}});
    if (std::exchange(first, false) && (recorded.about.dropped != 0 || !(about.is_worker || recorded.from_start)))
      about.begin = now_;
    add(event);
  }
  timeline::thread& done = out_.threads[thread_];
  if (!done.is_worker && !recorded.to_end && stack_.empty()) done.end = std::max(now_, done.begin);
  now_ = std::max(end, now_);
  close_from(0, /*unfinished=*/true);
}

void weaver::finish() {
  queued_.sort();
  suspended_.sort();
  published_.sort();
  ended_.sort();
  woken_.sort();
  for (const effect& e : effects_) {
    const sightings::one* const cause = e.causes->last(e.what, e.at);
    if (cause == nullptr || cause->at < e.not_before) continue;
    std::int64_t from = std::max(cause->at, std::min(cause->latest, e.at - 1));
    if (cause->kind == flow_kind::join) {
      // Who joins may be through before the task's own thread gets round to saying so. A flow begins within its slice.
      from = std::min(out_.slices[cause->slice].end, e.at) - 1;
      if (from < cause->at) continue;
    }
    if (cause->kind == flow_kind::resume) {
      out_.slices[e.slice].resumed = true;
      if (const sightings::one* const before = suspended_.last(e.what, e.at))
        out_.flows.push_back({flow_kind::go_on, before->thread, e.thread, before->at, e.at});
    }
    if (cause->kind == flow_kind::wake && cause->thread == e.thread) continue;
    out_.flows.push_back({cause->kind, cause->thread, e.thread, from, e.at});
  }
  count_sleepers();
}

void weaver::count_sleepers() {
  const timeline::text name = out_.add("workers asleep");
  std::vector<std::pair<std::int64_t, int>> changes;
  for (const timeline::slice& slice : out_.slices) {
    if (slice.kind != slice_kind::park) continue;
    changes.emplace_back(slice.begin, 1);
    changes.emplace_back(slice.end, -1);
  }
  std::sort(changes.begin(), changes.end());
  std::int64_t asleep = 0;
  for (const auto& [at, change] : changes) out_.counters.push_back({name, asleep += change, at});
}

}  // namespace

void weave(const std::vector<recorded_thread>& threads, const tick_scale& scale, timeline& into) {
  weaver all(scale, into);
  for (const recorded_thread& thread : threads) all.add(thread);
  all.finish();
  into.duration = scale.duration_ns();
  into.sort();
}

}  // namespace tutti::detail
