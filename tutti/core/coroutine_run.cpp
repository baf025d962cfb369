#include <tutti/core/coroutine_run.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/suspension.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/core/wait_graph.hpp>

#include <array>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace tutti {

// ---------------------------------------------------------------- all that have ever waited

// In several lists, so that many threads seldom meet at one lock.
class coroutine_list {
 public:
  static constexpr std::uint32_t count = 16;

  static void add(coroutine_run& run) noexcept;
  static void remove(coroutine_run& run) noexcept;
  /// Each with a reference, as it may end meanwhile.
  static std::vector<std::pair<coroutine_run*, state_ref<future_state_base>>> snapshot();

 private:
  struct lists_of_this_process;
  static lists_of_this_process& all();
  // A forked child's parent's coroutines never go on here.
  void forget_parents() noexcept {
    if (std::exchange(born_in_, forks_before_this_process()) != forks_before_this_process()) head_ = nullptr;
  }

  small_mutex mutex_;
  coroutine_run* head_ = nullptr;
  std::uint32_t born_in_ = 0;
};

struct coroutine_list::lists_of_this_process {
  lists_of_this_process() {
    for (coroutine_list& list : lists) held_at_fork(list.mutex_);
  }
  std::array<coroutine_list, count> lists;
};

coroutine_list::lists_of_this_process& coroutine_list::all() { return process_wide<lists_of_this_process>(); }

void coroutine_list::add(coroutine_run& run) noexcept {
  static constinit std::atomic<std::uint32_t> threads{0};
  static constinit thread_local std::uint32_t mine = 0;
  if (mine == 0) mine = threads.fetch_add(1, std::memory_order_relaxed) % count + 1;
  run.listed_in_ = mine;
  run.listed_by_ = forks_before_this_process();
  coroutine_list& list = all().lists[mine - 1];
  const std::lock_guard lock(list.mutex_);
  list.forget_parents();
  run.next_listed_ = std::exchange(list.head_, &run);
  if (run.next_listed_ != nullptr) run.next_listed_->previous_listed_ = &run;
}

void coroutine_list::remove(coroutine_run& run) noexcept {
  coroutine_list& list = all().lists[run.listed_in_ - 1];
  const std::lock_guard lock(list.mutex_);
  if (run.listed_by_ != forks_before_this_process()) return;  // in the parent's, by this one's parent
  (run.previous_listed_ == nullptr ? list.head_ : run.previous_listed_->next_listed_) = run.next_listed_;
  if (run.next_listed_ != nullptr) run.next_listed_->previous_listed_ = run.previous_listed_;
}

std::vector<std::pair<coroutine_run*, state_ref<future_state_base>>> coroutine_list::snapshot() {
  std::vector<std::pair<coroutine_run*, state_ref<future_state_base>>> found;
  for (coroutine_list& list : all().lists) {
    const std::lock_guard lock(list.mutex_);
    list.forget_parents();
    for (coroutine_run* run = list.head_; run != nullptr; run = run->next_listed_) {
      run->state().retain();
      found.emplace_back(run, state_ref<future_state_base>(&run->state()));
    }
  }
  return found;
}

// ---------------------------------------------------------------- options

struct coroutine_run::limits {
  struct expiry final : timer_entry {
    explicit expiry(coroutine_run& of) noexcept : run(of) {}
    void due() noexcept override {
      try {
        waited_in = run.describe_wait();
      } catch (const std::bad_alloc&) {  // then without
      }
      expired.store(true, std::memory_order_release);
      run.state().cancel();
    }
    coroutine_run& run;
    std::string waited_in;  // before `expired`
    std::atomic<bool> expired{false};
  };
  explicit limits(coroutine_run& of) noexcept : timer(of) {}
  std::optional<std::chrono::nanoseconds> timeout;
  std::chrono::steady_clock::time_point deadline{};
  expiry timer;
  std::optional<std::stop_callback<cancel_on_stop>> on_stop;
};

coroutine_run::coroutine_run(coroutine_link& outermost) noexcept
    : outermost_(&outermost), values_(task_values::current()) {
  if (values_ != nullptr) values_->retain();
}

coroutine_run::~coroutine_run() {
  drop_limits();
  if (values_ != nullptr) values_->release();
}

void coroutine_run::delete_limits() noexcept { delete std::exchange(limits_, nullptr); }

void coroutine_run::configure(const call_options& options, const char* default_name) {
  name_ = options.name.empty() ? default_name : intern(options.name);
  priority_ = options.priority;
  if (!options.timeout && options.stop.empty()) return;
  limits_ = new limits(*this);
  limits_->timeout = options.timeout;
  if (options.stop.empty()) return;
  state().allow_try_retain();
  limits_->on_stop.emplace(options.stop.token(), cancel_on_stop{&state()});
}

void coroutine_run::set_values(const task_values* list) noexcept {
  if (const task_values* const before = std::exchange(values_, list)) before->release();
  if (stretch_ != nullptr) stretch_->frame.values = list;
}

std::optional<std::chrono::steady_clock::time_point> coroutine_run::run_deadline() const noexcept {
  if (limits_ == nullptr || !limits_->timeout) return std::nullopt;
  return limits_->deadline;
}

// ---------------------------------------------------------------- running

void coroutine_run::run() noexcept {
  if (state().stop_requested()) [[unlikely]]
    state().cancel();  // left to this thread
  if (!state().claim()) return state().release();
  begin();
}

void coroutine_run::abandon(std::exception_ptr error) noexcept {
  if (state().stop_requested()) state().observe();  // whoever asked for its end knows of it
  if (state().claim()) fail_unbegun(std::move(error));
  state().release();
}

void coroutine_run::fail_unbegun(std::exception_ptr error) noexcept {
  destroy_outermost();
  state().settle_error(std::move(error));
}

bool coroutine_run::begin_here() noexcept {
  if (state().stop_requested() || !state().claim()) return false;
  state().retain();
  begin();
  return true;
}

void coroutine_run::begin() noexcept {
  const std::uint64_t id = state().home();
  const home_ref here = home_here();
  outermost_->run = this;
  outermost_->home = here.id == id ? here : home_ref{id, nullptr};
  std::shared_ptr<detail::loop_engine> loop;
  try {
    if (limits_ != nullptr && limits_->timeout) [[unlikely]] {
      limits_->deadline = detail::time_after(*limits_->timeout);
      // Nothing to wait for: asked to stop from the start.
      *limits_->timeout <= std::chrono::nanoseconds::zero() ? limits_->timer.due()
                                                            : limits_->timer.set(limits_->deadline);
    }
    if (here.id != id && is_inline_home(id)) loop = std::make_shared<detail::loop_engine>(id);
  } catch (...) {  // no memory, or no thread for the timers: better fail than run without the limit
    if (limits_ != nullptr) limits_->timer.cancel_and_wait();
    fail_unbegun(std::current_exception());
    return state().release();
  }
  if (loop == nullptr) return drive(*outermost_);
  // On an inline executor the thread that hands a task in runs it to its end.
  outermost_->home.target = loop.get();
  loop->run_inline([this] { drive(*outermost_); });
}

void coroutine_run::drive(coroutine_link& first) noexcept {
  worker* const self = this_worker;
  stretch mine{
      {this_frame, name_, &state(), values_, self == nullptr ? nullptr : self->pool, priority_, 0, this, &state()},
      nullptr};
  const char* outer = nullptr;
  if (self != nullptr) {
    mine.frame.fork_base = self->forks.bottom();
    outer = self->task_name.load(std::memory_order_relaxed);
    self->task_name.store(name_, std::memory_order_release);
    self->begin_coroutine();
  }
  const void* const shown = &state();
  const call_node* const queued = this;
  trace_point(trace_kind::task_begin, queued, name_);
  stretch_ = &mine;
  this_frame = &mine.frame;
  coroutine_link* last = nullptr;
  for (coroutine_link* next = &first; next != nullptr; next = mine.next) {
    last = next;
    mine.next = nullptr;
    mine.left = false;
    next->handle.resume();
  }
  // From here on it may be running elsewhere, or gone, unless it has ended.
  if (mine.finished) finish();
  if (!mine.finished && !mine.left) [[unlikely]]
    fail_lost(*last);
  this_frame = mine.frame.parent;
  if (mine.finished) {
    wait_graph::ended(shown);
    state().finish_settle_and_release();
  }
  trace_point(trace_kind::task_end, queued, mine.finished ? shown : nullptr);
  if (self == nullptr) return;
  self->end_coroutine();
  self->task_name.store(outer, std::memory_order_release);
  self->forks.end_root();
}

void coroutine_run::resume(coroutine_link& innermost) noexcept { innermost.run->drive(innermost); }

void coroutine_run::ended_elsewhere(coroutine_link& link) noexcept {
  if (link.awaiter == nullptr) {
    stretch_->finished = true;
  } else {
    way_back(*link.awaiter, link);
  }
}

namespace {

struct returning final : resume_node, pooled {
  explicit returning(coroutine_link& to) noexcept { link_ = &to; }
  void go_on() noexcept override {
    coroutine_link& to = *link_;
    delete this;
    coroutine_run::resume(to);
  }
};

returning* make_returning(coroutine_link& to) noexcept {
  try {
    return new returning(to);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

// g++ 12 lays out the frames of some coroutines wrongly; resuming those does nothing. What they hold is lost, but who
// waits need not wait for ever, neither for it nor for the end of the executors that it was on.
void coroutine_run::fail_lost(coroutine_link& innermost) noexcept {
  withdraw();
  for (coroutine_link* link = &innermost; link != nullptr; link = link->awaiter) {
    if (std::exchange(link->holds, false) && link->home.target != nullptr) link->home.target->let_go();
  }
  stretch_ = nullptr;  // its coroutines may be destroyed with the future
  try {
    state().settle_error(std::make_exception_ptr(std::logic_error(
        task_text(name_) + ": one of its coroutines was resumed and did nothing" +
        (outermost_->at.line() == 0 ? std::string()
                                    : std::string(" (the outermost awaits at ") + outermost_->at.file_name() + ':' +
                                          std::to_string(outermost_->at.line()) + ')') +
        ": g++ 12 miscompiles a coroutine that has no local variable and awaits "
        "in the condition of an if, while, for or switch (GCC bug 106188); give the awaited value a name first")));
  } catch (...) {
    state().settle_error(std::current_exception());
  }
  state().release();
}

// It has moved, and its awaiter, which goes on now, has not.
void coroutine_run::way_back(coroutine_link& awaiter, coroutine_link& link) noexcept {
  const home_ref from = link.home;
  const bool held = std::exchange(link.holds, false);
  if (held) --moved_;
  if (awaiter.home.id == from.id) {
    stretch_->next = &awaiter;
  } else if (auto* const node = make_returning(awaiter)) {
    stretch_->left = true;
    node->post();
  } else {
    stretch_->next = &awaiter;  // better on the wrong executor than not at all
  }
  if (held && from.target != nullptr) from.target->let_go();
}

// Nobody asks it to stop any more, or shows it.
void coroutine_run::withdraw() noexcept {
  if (limits_ != nullptr) [[unlikely]] {
    limits_->timer.cancel_and_wait();
    limits_->on_stop.reset();
  }
  if (listed_in_ != 0) coroutine_list::remove(*this);
}

void coroutine_run::finish() noexcept {
  withdraw();
  const home_ref home = outermost_->home;
  const bool holds = outermost_->holds;
  collect();
  if (holds && home.target != nullptr) home.target->let_go();
}

bool coroutine_run::stopping(const coroutine_link& innermost) const noexcept {
  const auto ends = [](const coroutine_link& link) {
    return link.home.target != nullptr && link.home.target->stopping();
  };
  if (state().stop_requested() || ends(*outermost_) || (&innermost != outermost_ && ends(innermost))) return true;
  if (moved_ == 0) return false;  // they are all where one of these two is
  const coroutine_link* link = &innermost;
  while (link != nullptr && !ends(*link)) link = link->awaiter;
  return link != nullptr;
}

void coroutine_run::throw_stopped(const char* what) const {
  throw cancelled(task_text(name_) + " was stopped while it waited in " + what);
}

void coroutine_run::hold_first_home() noexcept {
  coroutine_link& link = *outermost_;
  link.holds = true;
  if (link.home.target != nullptr && link.home.target->hold(/*from_outside=*/false) != call_target::hold_result::held) {
    link.home.target = nullptr;
  }
}

// ---------------------------------------------------------------- waiting

// Somebody who looks at what a coroutine waits for. While there are some, that stays.
class coroutine_run::look {
 public:
  // seq_cst, both: `hide_waiting` takes the suspension away, and then looks for visitors; a visitor counts himself, and
  // then looks for the suspension. One of the two sees the other.
  explicit look(const coroutine_run& at) noexcept : visitors_(at.visitors_) {
    visitors_.fetch_add(1, std::memory_order_seq_cst);
    seen_ = at.waiting_.load(std::memory_order_seq_cst);
  }
  // release: what it has read, it has read before the suspension goes on.
  ~look() { visitors_.fetch_sub(1, std::memory_order_release); }
  look(const look&) = delete;
  look& operator=(const look&) = delete;
  // Null while it does not wait.
  suspension* seen() const noexcept { return seen_; }

 private:
  std::atomic<std::uint32_t>& visitors_;
  suspension* seen_;
};

void coroutine_run::show_waiting(suspension& wait) noexcept {
  if (listed_in_ == 0) coroutine_list::add(*this);
  // seq_cst: before the look at the flags of a stop, see suspension::show.
  waiting_.store(&wait, std::memory_order_seq_cst);
}

void coroutine_run::hide_waiting() noexcept {
  const auto alone = [this] { return visitors_.load(std::memory_order_seq_cst) == 0; };
  waiting_.store(nullptr, std::memory_order_seq_cst);
  if (alone()) [[likely]]
    return;
  for (spinner spin(spinner::before_sleep); spin.once();) {
    if (alone()) return;
  }
  // Somebody asks what it waited for to stop by calling functions of the program, which may wait for this very pool.
  before_sleeping();
  worker* const self = detail::loop_engine::blocked_worker();
  if (self != nullptr) self->pool->must_block(*self);
  while (!alone()) std::this_thread::yield();
  if (self != nullptr) self->pool->end_block(*self);
}

bool coroutine_run::waits_on(const call_target& target) const noexcept {
  const look here(*this);
  if (here.seen() == nullptr) return false;  // it will see for itself before it waits
  for (const coroutine_link* link = &here.seen()->link(); link != nullptr; link = link->awaiter) {
    if (link->home.target == &target) return true;
  }
  return false;
}

void coroutine_run::describe(std::ostream& out) const {
  const look here(*this);
  out << task_text(name_);
  if (here.seen() == nullptr) {
    out << ": runs, or is queued\n";
    return;
  }
  out << ": waits in ";
  here.seen()->describe(out);
  out << " for " << std::chrono::duration<double>(here.seen()->age()).count() << " s\n";
  for (const coroutine_link* link = &here.seen()->link(); link != nullptr; link = link->awaiter) {
    // when_all and the like are coroutines too, but nobody's program.
    if (std::string_view(link->made.function_name()).find("tutti::detail::") != std::string_view::npos) continue;
    out << "    " << shown_name(link->made.function_name()) << " at " << link->at.file_name() << ':' << link->at.line()
        << '\n';
  }
}

std::string coroutine_run::describe_wait() const {
  std::ostringstream out;
  const look here(*this);
  if (here.seen() == nullptr) return {};
  here.seen()->describe(out);
  return out.str();
}

std::vector<std::string> describe_coroutines() {
  std::vector<std::string> texts;
  for (const auto& [run, kept] : coroutine_list::snapshot()) {
    std::ostringstream out;
    run->describe(out);
    texts.push_back(out.str());
  }
  return texts;
}

// ---------------------------------------------------------------- stopping

void coroutine_run::stop_waiting() noexcept {
  const detail::resume_in_place_later not_on_top_of_us;
  const look here(*this);
  if (here.seen() != nullptr) here.seen()->on_stop();
}

void stop_waiting_on(const call_target& target) noexcept {
  try {
    for (const auto& [run, kept] : coroutine_list::snapshot()) {
      if (run->waits_on(target)) kept->cancel();
    }
  } catch (const std::bad_alloc&) {  // then they end when what they wait for comes
  }
}

std::exception_ptr coroutine_run::final_error(std::exception_ptr error) const {
  if (limits_ == nullptr || !limits_->timer.expired.load(std::memory_order_acquire)) return error;
  try {
    std::rethrow_exception(error);
  } catch (const cancelled&) {
    try {
      std::string text = timeout_text(name_, *limits_->timeout);
      if (!limits_->timer.waited_in.empty()) text += "; it waited in " + limits_->timer.waited_in;
      return std::make_exception_ptr(timed_out(text));
    } catch (...) {  // no memory for the text
      return std::current_exception();
    }
  } catch (...) {
    return error;
  }
}

}  // namespace tutti
