// recording: logs of threads, from their first event to the next recording.
#include <tutti/trace/recording.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/trace/weave.hpp>

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {
namespace {

std::string comm_of(const std::string& thread) {
  std::ifstream in("/proc/self/" + thread + "comm");
  std::string name;
  std::getline(in, name);
  return name;
}

// Threads that nobody has named are called as the program is.
std::string name_of(std::int64_t id, const std::string& given) {
  if (id == ::getpid()) return "main";
  return given.empty() || given == comm_of("") ? "thread " + std::to_string(id) : given;
}

std::string name_of_this_thread() {
  char name[16] = {};  // the kernel's limit
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  return name;
}

}  // namespace

struct recording::log {
  explicit log(std::size_t bytes) : ring(bytes), bytes_asked(bytes) {}
  trace_ring ring;
  const std::size_t bytes_asked;
  std::uint64_t session = 0;
  std::uint64_t first = 0;  // number of the first event of the session
  timeline::thread about;
  bool from_start = false;  // it began the recording
  const worker* self = nullptr;
  std::uint64_t ending = 0;  // in which order threads ended; 0: it lives
  log* next = nullptr;

  void begin(std::uint64_t new_session) noexcept {
    session = new_session;
    first = ring.count();
    last_end_ = last_submit_ = {};
    sharing_ = 0;
    shared_by_ = 1;
  }
  // What an event costs is mostly the look at the clock, so some events share one. By its thread.
  void write(trace_kind kind, std::uint64_t a, std::uint64_t b, bool by_cpu) noexcept {
    if (kind == trace_kind::task_begin) return ring.push(begin_time(by_cpu), kind, a, b);
    if (kind == trace_kind::task_submit) return ring.push(submit_time(by_cpu), kind, a, b);
    const std::uint64_t now = ticks(by_cpu);
    ring.push(now, kind, a, b);
    if (kind == trace_kind::task_end) last_end_ = {now, ring.count()};
  }

 private:
  struct shared_look {
    std::uint64_t at = 0;                          // the reading,
    std::uint64_t next_event = ~std::uint64_t{0};  // and the number of the event that may use it
  };

  // A worker that goes straight from one task to the next: the next begins when the last ended. One that was handed in
  // after that looks itself, else it would begin before its submit.
  std::uint64_t begin_time(bool by_cpu) const noexcept {
    const bool straight_on = this_worker != nullptr && std::exchange(this_worker->straight_on, false);
    return straight_on && last_end_.next_event == ring.count() ? last_end_.at : ticks(by_cpu);
  }

  // While tasks are handed in one after the other, faster than `dense`, one look serves eight. The weaver puts the
  // others between their neighbours, and before their tasks' beginnings.
  std::uint64_t submit_time(bool by_cpu) noexcept {
    if (sharing_ != 0 && last_submit_.next_event == ring.count()) {
      --sharing_;
      ++last_submit_.next_event;
      return last_submit_.at;
    }
    const std::uint64_t now = ticks(by_cpu);
    const std::uint64_t dense = ticks_per_us(by_cpu) / 4 * shared_by_;
    shared_by_ = now - last_submit_.at < dense && last_submit_.next_event == ring.count() ? most_shared_by : 1;
    sharing_ = shared_by_ - 1;
    last_submit_ = {now, ring.count() + 1};
    return now;
  }

  static constexpr std::uint32_t most_shared_by = 8;
  shared_look last_end_, last_submit_;
  std::uint32_t sharing_ = 0, shared_by_ = 1;
};

constinit thread_local recording::log* recording::mine = nullptr;
constinit thread_local std::uint64_t recording::refused = 0;
constinit thread_local bool recording::thread_ends = false;

// Gives the log back when the thread ends.
struct recording::owner {
  ~owner() {
    thread_ends = true;
    if (mine != nullptr) instance().leave(*std::exchange(mine, nullptr));
  }
};

recording& recording::instance() noexcept { return process_wide<recording>(); }

namespace {

[[maybe_unused]] const int left_to_parent =
    ::pthread_atfork(nullptr, nullptr, [] { recording::instance().leave_to_parent(); });

}  // namespace

void recording::record(trace_kind kind, std::uint64_t a, std::uint64_t b) noexcept {
  log* const here = mine;
  if (here == nullptr || here->session != session_.load(std::memory_order_relaxed)) [[unlikely]]
    return record_first(kind, a, b);
  here->write(kind, a, b, by_cpu_.load(std::memory_order_relaxed));
}

void recording::record_first(trace_kind kind, std::uint64_t a, std::uint64_t b) noexcept {
  if (thread_ends) return;
  log* const here = enter();
  if (here == nullptr) {
    if (refused == session_.load(std::memory_order_relaxed)) lost_.fetch_add(1, std::memory_order_relaxed);
  } else {
    here->write(kind, a, b, by_cpu_.load(std::memory_order_relaxed));
  }
}

// A thread's first event of a recording. Null: there is no room for it.
recording::log* recording::enter(bool from_start) noexcept {
  const std::uint64_t session = session_.load(std::memory_order_relaxed);
  if (thread_ends || refused == session) return nullptr;
  try {
    static thread_local const owner at_the_end;
    static_cast<void>(at_the_end);
    std::unique_lock lock(mutex_);
    if (!on_) return nullptr;  // it has not heard yet
    const std::optional<log*> place = find_place();
    if (!place) {
      lock.unlock();
      refuse(session);
      return nullptr;
    }
    if (mine != nullptr && mine->bytes_asked != options_.bytes_per_thread) free(*std::exchange(mine, nullptr));
    if (mine == nullptr) mine = *place != nullptr ? *place : make_place();
    const worker* const self = this_worker != nullptr && !this_worker->guest ? this_worker : nullptr;
    mine->self = self;
    mine->about = {};
    mine->about.kernel_id = ::gettid();
    mine->about.is_worker = self != nullptr;
    mine->about.name = self != nullptr ? self->pool->name() + '/' + std::to_string(self->index)
                                       : name_of(mine->about.kernel_id, name_of_this_thread());
    mine->begin(session_.load(std::memory_order_relaxed));
    mine->from_start = from_start;
    return mine;
  } catch (...) {  // no memory
    refuse(session);
    return nullptr;
  }
}

// What this thread does in this recording is only counted.
void recording::refuse(std::uint64_t session) noexcept {
  refused = session;
  if (this_worker == nullptr || this_worker->guest) return;
  try {
    const std::lock_guard lock(mutex_);
    if (session == session_.load(std::memory_order_relaxed)) refused_workers_.push_back(this_worker);
  } catch (...) {  // then it may be taken for one that slept
    return;
  }
}

// Whether this recording may have one more thread: then its log, or null for a new one. When it is full, the thread
// that ended first is given up, and its log is there for another. Under the lock, as all that follows.
std::optional<recording::log*> recording::find_place() noexcept {
  std::size_t count = 0;
  log* oldest = nullptr;
  for (log* l = logs_; l != nullptr; l = l->next) {
    if (l->session != session_.load(std::memory_order_relaxed)) continue;
    ++count;
    if (l->ending != 0 && (oldest == nullptr || l->ending < oldest->ending)) oldest = l;
  }
  if (count < options_.max_threads) return nullptr;
  if (oldest == nullptr) return std::nullopt;
  lost_.fetch_add(oldest->ring.count() - oldest->first, std::memory_order_relaxed);
  oldest->session = 0;
  oldest->ending = 0;
  if (mine == nullptr) return oldest;
  free(*oldest);
  return nullptr;
}

recording::log* recording::make_place() {
  auto made = std::make_unique<log>(options_.bytes_per_thread);
  made->next = std::exchange(logs_, made.get());
  return made.release();
}

void recording::free(log& which) noexcept {
  log** at = &logs_;
  while (*at != &which) at = &(*at)->next;
  *at = which.next;
  delete &which;
}

void recording::free_ended() noexcept {
  for (log* l = logs_; l != nullptr;) {
    log& seen = *std::exchange(l, l->next);
    if (seen.ending != 0) free(seen);
  }
}

void recording::leave(log& ended) noexcept {
  const std::lock_guard lock(mutex_);
  if (ended.session != session_.load(std::memory_order_relaxed)) return free(ended);
  ended.ending = ++endings_;
}

// Those of `now` that this recording has not heard of. Whoever was born while it went on and said nothing did not sleep
// all the time; a new worker where one was that is gone is such a one, too. Under the lock.
std::vector<seen_worker> recording::silent_of(std::vector<seen_worker> now) const {
  const std::uint64_t session = session_.load(std::memory_order_relaxed);
  std::vector<const worker*> known = refused_workers_;
  for (const log* l = logs_; l != nullptr; l = l->next) {
    if (l->session == session && l->self != nullptr) known.push_back(l->self);
  }
  std::erase_if(now, [&](const seen_worker& one) {
    return std::find(known.begin(), known.end(), one.self) != known.end() ||
           std::find(there_at_start_.begin(), there_at_start_.end(), one.self) == there_at_start_.end();
  });
  return now;
}

std::uint64_t recording::start(const trace_options& options) {
  const std::uint64_t session = begin_session(options);
  enter(/*from_start=*/true);  // what this thread does until its first event is work, too
  // Not before it began: who is born and falls asleep in between would be unknown.
  std::vector<seen_worker> now = workers_now();
  const std::lock_guard lock(mutex_);
  if (session == session_.load(std::memory_order_relaxed)) {
    try {
      for (const seen_worker& one : now) there_at_start_.push_back(one.self);
    } catch (const std::bad_alloc&) {
      there_at_start_.clear();  // then silent workers are missing
    }
  }
  return session;
}

std::uint64_t recording::begin_session(const trace_options& options) {
  const std::lock_guard lock(mutex_);
  if (on_ && of_program_)
    throw std::logic_error(
        "trace_recorder: --tutti-trace or TUTTI_TRACE records this program already, from its start to its end; run it "
        "without, or find what you look for in that file");
  if (on_) throw std::logic_error("trace_recorder: a recording goes on already; stop it first");
  if (tracing())
    throw std::logic_error(
        "trace_recorder: another trace_sink is installed; take it away first: set_trace_sink(nullptr)");
  options_ = options;
  of_program_ = false;
  free_ended();
  forget_workers();
  lost_.store(0, std::memory_order_relaxed);
  const std::uint64_t session = session_.load(std::memory_order_relaxed) + 1;
  session_.store(session, std::memory_order_relaxed);
  by_cpu_.store(has_cpu_ticks(), std::memory_order_relaxed);
  begun_ = tick_pair::now(by_cpu_.load(std::memory_order_relaxed));
  stopper_ = ::gettid();  // who looks while it goes on
  on_ = true;
  set_trace_sink(this);
  return session;
}

void recording::is_of_program() noexcept {
  const std::lock_guard lock(mutex_);
  of_program_ = on_;
}

void recording::stop(std::uint64_t session) noexcept {
  if (!is_on(session)) return;
  // Who is silent is decided here: later, pools are gone or new, and what workers do is not of this recording.
  std::vector<seen_worker> now = workers_now();
  const std::lock_guard lock(mutex_);
  if (!on_ || session != session_.load(std::memory_order_relaxed)) return;
  set_trace_sink(nullptr);
  stopper_ = ::gettid();
  ended_ = tick_pair::now(by_cpu_.load(std::memory_order_relaxed));
  on_ = false;
  try {
    silent_ = silent_of(std::move(now));
  } catch (const std::bad_alloc&) {
    silent_.clear();
  }
}

bool recording::is_on(std::uint64_t session) noexcept {
  const std::lock_guard lock(mutex_);
  return on_ && session == session_.load(std::memory_order_relaxed);
}

timeline recording::collect(std::uint64_t session) {
  timeline made;
  std::vector<recorded_thread> threads;
  std::vector<seen_worker> silent;
  tick_pair begun, ended;
  std::vector<seen_worker> now;
  if (is_on(session)) now = workers_now();
  {
    const std::lock_guard lock(mutex_);
    if (session == 0) throw std::logic_error("trace_recorder: nothing was recorded; call start() first");
    if (session != session_.load(std::memory_order_relaxed)) {
      throw std::logic_error(
          "trace_recorder: what it recorded is gone: another recording was started, or this process was forked since; "
          "collect or write it before");
    }
    begun = begun_;
    ended = on_ ? tick_pair::now(by_cpu_.load(std::memory_order_relaxed)) : ended_;
    made.dropped = lost_.load(std::memory_order_relaxed);
    for (const log* l = logs_; l != nullptr; l = l->next) {
      if (l->session != session) continue;
      recorded_thread& one = threads.emplace_back(
          recorded_thread{l->about, l->from_start, l->about.kernel_id == stopper_, l->ring.copy(l->first)});
      const std::uint64_t count = l->ring.count() - l->first;
      one.about.dropped = count - std::min<std::uint64_t>(count, one.events.size());
    }
    silent = on_ ? silent_of(std::move(now)) : silent_;
  }
  std::reverse(threads.begin(), threads.end());  // in the order of their first events
  made.process = comm_of("");
  made.pid = ::getpid();
  weave(threads, tick_scale(begun, ended), made);
  add_silent_workers(silent, made);
  return made;
}

void recording::drop(std::uint64_t session) noexcept {
  const std::lock_guard lock(mutex_);
  if (session == 0 || session != session_.load(std::memory_order_relaxed)) return;
  session_.store(session + 1, std::memory_order_relaxed);
  free_ended();
  forget_workers();
  for (log* l = logs_; l != nullptr; l = l->next) l->ring.forget();
}

void recording::forget_workers() noexcept {
  there_at_start_.clear();
  refused_workers_.clear();
  silent_.clear();
}

void recording::leave_to_parent() noexcept {
  ::new (&mutex_) std::mutex;
  if (on_) set_trace_sink(nullptr);
  on_ = false;
  // Another thread may have been changing the lists: only this thread's own log is known to be whole.
  ::new (&there_at_start_) std::vector<const worker*>;
  ::new (&refused_workers_) std::vector<const worker*>;
  ::new (&silent_) std::vector<seen_worker>;
  logs_ = mine;
  if (mine != nullptr) mine->next = nullptr;
  session_.store(session_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace tutti::detail
