#include <tutti/core/suspension.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/scheduler.hpp>
#include <tutti/core/spin.hpp>

#include <time.h>

#include <ostream>

namespace tutti {

// ---------------------------------------------------------------- coming back

void resume_node::post() noexcept {
  trace_point(trace_kind::task_resume, static_cast<const call_node*>(link_->run));
  const home_ref home = link_->home;
  if (home.target != nullptr) return home.target->resume(call(this));
  start_at_home(home.id, call(this));
}

void resume_node::run() noexcept {
  // An executor that runs calls wherever they come from may do so on top of code that waits for this very coroutine.
  if (link_->home.target == nullptr && detail::resume_in_place_later::keep(*this)) return;
  go_on();
}

// Its executor is being shut down with `cancel`, or is gone. The coroutine must end somewhere, and soon.
void resume_node::abandon(std::exception_ptr) noexcept {
  coroutine_link& link = *link_;
  link.run->state().request_stop();
  if (link.home.target == nullptr || home_here().target == link.home.target) return run();
  link.home.target->resume(call(this));
}

namespace detail {
namespace {

constinit thread_local call_queue* kept_for_later = nullptr;

}  // namespace

resume_in_place_later::resume_in_place_later() noexcept : outermost_(kept_for_later == nullptr) {
  if (outermost_) kept_for_later = &kept_;
}

resume_in_place_later::~resume_in_place_later() {
  if (!outermost_) return;
  kept_for_later = nullptr;
  while (call_node* const node = kept_.pop()) node->run();
}

bool resume_in_place_later::keep(call_node& node) noexcept {
  if (kept_for_later == nullptr) return false;
  kept_for_later->push(&node);
  return true;
}

}  // namespace detail

// ---------------------------------------------------------------- waiting

namespace {

// For people: a few milliseconds more or less do not matter, the time it takes to look does.
std::int64_t coarse_clock() noexcept {
  ::timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

void suspension::claimed(void* self) noexcept {
  auto* const wait = static_cast<suspension*>(self);
  // acq_rel: the second of the two sees what the first has written.
  if (wait->gate_.fetch_add(1, std::memory_order_acq_rel) == 1) wait->post();
}

void suspension::show() noexcept {
  coroutine_run& run = *link_->run;
  trace_point(trace_kind::task_wait, static_cast<const call_node*>(&run), what_);
  since_.store(coarse_clock(), std::memory_order_relaxed);
  published_ = true;
  run.show_waiting(*this);
  // Who asks it to stop sets a flag, then looks at what it waits for; here the two are the other way round. All four
  // are seq_cst, so one of the two sees the other.
  if (run.stopping(*link_)) on_stop();
}

bool suspension::commit() noexcept {
  if (ticket_.outcome() == wait_ticket::open) show();
  return gate_.fetch_add(1, std::memory_order_acq_rel) == 0;
}

std::uint32_t suspension::end() noexcept {
  if (published_) {
    published_ = false;
    link_->run->hide_waiting();
  }
  return ticket_.outcome();
}

void suspension::end_or_throw() {
  if (end() == wait_ticket::by_stop) throw_cancelled();
}

void suspension::throw_cancelled() const { link_->run->throw_stopped(what_); }

std::chrono::nanoseconds suspension::age() const noexcept {
  return std::chrono::nanoseconds(coarse_clock() - since_.load(std::memory_order_relaxed));
}

void suspension::describe(std::ostream& out) const { out << what_; }

}  // namespace tutti
