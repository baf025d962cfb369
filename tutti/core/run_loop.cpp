#include <tutti/core/run_loop.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/coroutine_run.hpp>
#include <tutti/core/idle_clock.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/thread_record.hpp>
#include <tutti/core/wait_list.hpp>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace tutti {
namespace detail {
namespace {

constinit thread_local loop_engine* driven_here = nullptr;

}  // namespace

loop_engine* loop_engine::current() noexcept { return driven_here; }

bool loop_engine::driven_by_this_thread() const noexcept {
  const loop_engine* loop = driven_here;
  while (loop != nullptr && loop != this) loop = loop->below_;
  return loop != nullptr;
}

bool loop_engine::drives(std::uint64_t id) noexcept {
  const loop_engine* loop = driven_here;
  while (loop != nullptr && loop->id_ != id) loop = loop->below_;
  return loop != nullptr;
}

bool loop_engine::on_top_of(const scheduler& pool) noexcept {
  for (const loop_engine* loop = driven_here; loop != nullptr; loop = loop->below_) {
    for (const worker* w = loop->outer_worker_; w != nullptr; w = w->outer) {
      if (w->pool == &pool) return true;
    }
  }
  return false;
}

worker* loop_engine::blocked_worker() noexcept {
  if (this_worker != nullptr) return this_worker;
  const loop_engine* loop = driven_here;
  while (loop != nullptr && loop->outer_worker_ == nullptr) loop = loop->below_;
  // In a forked child it is the parent's.
  return loop == nullptr || loop->outer_worker_->pool->left_behind() ? nullptr : loop->outer_worker_;
}

loop_engine::driving::driving(loop_engine& loop, std::unique_lock<std::mutex> as_driver)
    : loop_(loop), as_driver_(std::move(as_driver)) {
  if (this_worker != nullptr) this_worker->offer_all();
  thread_record& record = this_thread_record();
  if (loop_.poller_ != nullptr) loop_.poller_->thread_.store(record.thread_id(), std::memory_order_release);
  loop_.sleeper_.store(&record.sleeper(), std::memory_order_seq_cst);
  loop_.below_ = std::exchange(driven_here, &loop_);
  loop_.outer_worker_ = std::exchange(this_worker, nullptr);
}

loop_engine::driving::~driving() {
  this_worker = loop_.outer_worker_;
  driven_here = loop_.below_;
  loop_.sleeper_.store(nullptr, std::memory_order_seq_cst);
  if (loop_.poller_ != nullptr) loop_.poller_->thread_.store(0, std::memory_order_release);
}

void loop_engine::start(call work) {
  if (driven_by_this_thread()) {
    if (cancelling()) return std::move(work).abandon(std::make_exception_ptr(cancelled("run_loop was shut down")));
  } else if (closed_.load(std::memory_order_relaxed)) {
    const closed why("run_loop is shut down and takes no more work");
    std::move(work).abandon(std::make_exception_ptr(why));
    throw why;
  }
  trace_point(trace_kind::task_submit, work.operator->(), static_cast<const call_target*>(this));
  queue(std::move(work));
}

call_target::hold_result loop_engine::hold(bool from_outside) noexcept {
  // seq_cst: from outside, this count comes before the look at the flag; who closes sets the flag before it reads the
  // count for the last time.
  held_.fetch_add(1, std::memory_order_seq_cst);
  if (!from_outside || !closed_.load(std::memory_order_seq_cst)) return hold_result::held;
  let_go();
  return hold_result::closed;
}

void loop_engine::resume(call work) noexcept {
  if (driven_here == this) return put_in_order(*work.release());  // nearly always
  const visit from_outside(driven_by_this_thread() ? nullptr : &visitors_);
  queue(std::move(work));
}

void loop_engine::queue(call work) {
  if (driven_by_this_thread()) return put_in_order(*work.release());
  if (!inbox_.put(work.operator->())) {  // it has ended between the caller's look and this
    const closed why("run_loop is shut down and takes no more work");
    std::move(work).abandon(std::make_exception_ptr(why));
    throw why;
  }
  work.release();
  wake();
}

void loop_engine::wake() noexcept {
  // seq_cst, as in put: this thread sees the sleeper, or the sleeper, who shows itself first, sees the call.
  if (polling_.load(std::memory_order_seq_cst)) {
    if (polling_.exchange(false, std::memory_order_seq_cst)) poller_->interrupt();
    return;
  }
  if (parker* const sleeper = sleeper_.load(std::memory_order_seq_cst)) sleeper->unpark();
}

void loop_engine::let_go() noexcept {
  const visit kept(&visitors_);
  // In this order: who drives it sees that nobody holds it any more, or this thread sees who drives it.
  if (held_.fetch_sub(1, std::memory_order_seq_cst) == 1) wake();
}

bool loop_engine::empty() noexcept {
  return inbox_.empty() && ready_.empty() && others_.empty() && held_.load(std::memory_order_seq_cst) == 0;
}

void loop_engine::put_in_order(call_node& node) noexcept {
  if (node.priority() != 0) {
    try {
      return others_[node.priority()].push(&node);
    } catch (const std::bad_alloc&) {  // then in the order it came
    }
  }
  ready_.push(&node);
}

call_node* loop_engine::take() noexcept {
  if (!inbox_.empty()) {
    call_queue arrived;
    inbox_.take_all(arrived);
    while (call_node* const node = arrived.pop()) put_in_order(*node);
  }
  const auto best = others_.begin();
  if (best == others_.end() || (best->first < 0 && !ready_.empty())) return ready_.pop();
  call_node* const node = best->second.pop();
  if (best->second.empty()) others_.erase(best);
  return node;
}

std::unique_lock<std::mutex> loop_engine::become_driver() {
  if (driven_by_this_thread()) throw std::logic_error("run_loop: run() was called by what it runs; co_await instead");
  std::unique_lock as_driver(driver_, std::try_to_lock);
  if (!as_driver) throw std::logic_error("run_loop: another thread runs it already");
  return as_driver;
}

void loop_engine::run_until_ready(std::unique_lock<std::mutex>&& as_driver, const future_state_base& what) {
  wait_graph::watched_wait watched;
  if (wait_graph::observer() != nullptr) [[unlikely]] {
    const wait_target target = what.as_target();
    watched.begin({.who = wait_graph::self(), .targets = {&target, 1}, .what = "run_loop::run"});
  }
  run_until(std::move(as_driver), [&what] { return what.is_ready(); });
}

void loop_engine::run_some(const driving&, bool (*done)(void*), void* context) {
  // Calls that go on for ever must not keep events from being seen.
  constexpr int most_between_looks = 64;
  for (int calls = 0; !done(context);) {
    if (poller_ != nullptr && ++calls == most_between_looks) {
      calls = 0;
      poller_->look_for_events();
    }
    call_node* const node = take();
    if (node == nullptr) {
      sleep(done, context);
    } else if (cancelling()) {
      node->abandon(std::make_exception_ptr(cancelled("run_loop was shut down before the task was started")));
    } else {
      if (poller_ != nullptr) poller_->next_turn();
      node->run();
      if (poller_ != nullptr) poller_->next_turn();
    }
  }
}

void loop_engine::run_all(const driving& here) {
  do {
    run_some(here, [](void* self) { return static_cast<loop_engine*>(self)->empty(); }, this);
  } while (!inbox_.close_if_empty());
  visit::wait_for_none(visitors_);
}

void loop_engine::run_until_closed() {
  run_until(become_driver(), [this] { return closed_.load(std::memory_order_relaxed) && empty(); });
}

void loop_engine::ask_to_end() noexcept {
  closed_.store(true, std::memory_order_seq_cst);
  cancelling_.store(true, std::memory_order_seq_cst);  // see suspension::show
  stop_waiting_on(*this);
  wake();
}

bool loop_engine::hand_over(call_node& work) noexcept {
  const visit from_outside(&visitors_);
  if (!inbox_.put(&work)) return false;
  wake();
  return true;
}

void loop_engine::shut_down(bool cancel) {
  if (cancel) {
    ask_to_end();
  } else {
    closed_.store(true, std::memory_order_seq_cst);
    wake();
  }
  if (driven_by_this_thread()) return;  // a call of its own: the one that drives it goes on until all is done
  before_sleeping();
  worker* const self = blocked_worker();
  if (self != nullptr) self->pool->must_join(*self);
  std::unique_lock as_driver(driver_);
  if (self != nullptr) self->pool->end_block(*self);
  run_all(driving(*this, std::move(as_driver)));
}

void loop_engine::sleep(bool (*done)(void*), void* context) {
  worker* const outer = blocked_worker();
  const auto nothing_to_do = [&] { return inbox_.empty() && !done(context); };
  if (poller_ != nullptr && outer == nullptr) return sleep_in_poller(nothing_to_do);
  for (spinner spin(spinner::before_sleep); spin.once();) {
    if (!nothing_to_do()) return;
  }
  before_sleeping();
  if (outer != nullptr) outer->pool->must_block(*outer);
  {
    const thread_record::waiting shown("run_loop", place{}, this);
    if (poller_ != nullptr) {
      sleep_in_poller(nothing_to_do);
    } else if (!move_idle_clock(nothing_to_do) && nothing_to_do()) {
      this_parker().park();
    }
  }
  if (outer != nullptr) outer->pool->end_block(*outer);
}

// Who waits for events waits for others than this program: a virtual clock does not move on its account.
template <class NothingToDo>
void loop_engine::sleep_in_poller(NothingToDo nothing_to_do) {
  before_sleeping();
  if (poller_->expects_nothing() && move_idle_clock(nothing_to_do)) return;
  polling_.store(true, std::memory_order_seq_cst);  // before the look: see wake()
  if (nothing_to_do()) poller_->wait_for_events();
  polling_.store(false, std::memory_order_relaxed);
}

}  // namespace detail

namespace {

[[noreturn]] void fatal_own_call() noexcept {
  std::fputs(
      "tutti: fatal: run_loop destroyed by a call that it runs, from under its thread in run(); call shutdown() there, "
      "and destroy it when run() has returned\n",
      stderr);
  std::abort();
}

// As for pools: handles, the last of which ends the loop, and those who only keep its memory.
std::shared_ptr<detail::loop_engine> make_loop(std::shared_ptr<detail::loop_poller> poller = nullptr) {
  auto memory = std::make_shared<detail::loop_engine>(new_executor_id(), std::move(poller));
  register_home(memory->id(), memory);
  detail::loop_engine* const engine = memory.get();
  return {engine, [memory = std::move(memory)](detail::loop_engine* last) {
            if (last->driven_by_this_thread()) fatal_own_call();
            last->shut_down(/*cancel=*/false);
            forget_home(last->id());
            if (last->poller() != nullptr) last->poller()->end();
          }};
}

}  // namespace

run_loop::run_loop() : run_loop(make_loop()) {}
run_loop::run_loop(std::shared_ptr<detail::loop_poller> poller) : run_loop(make_loop(std::move(poller))) {}
run_loop::run_loop(std::shared_ptr<detail::loop_engine> engine)
    : local_executor(engine->id()), engine_(std::move(engine)) {}
run_loop::~run_loop() = default;

void run_loop::run() { engine_->run_until_closed(); }

void run_loop::shutdown(shutdown_mode mode) { engine_->shut_down(mode == shutdown_mode::cancel); }

std::unique_ptr<executor> run_loop::share() { return std::unique_ptr<executor>(new run_loop(engine_)); }

}  // namespace tutti
