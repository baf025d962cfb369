#include <tutti/task/children.hpp>

#include <tutti/base/error.hpp>

#include <cassert>
#include <ostream>

namespace tutti::detail {

struct children::child final : ready_callback, pooled {
  child(children& of, std::size_t i) noexcept : in(of), index(i & (~std::size_t{0} >> 1)) {}
  void on_ready(future_state_base& done) noexcept override { in.ended(*this, done); }

  children& in;
  const std::size_t index : 63;
  bool asked : 1 = false;              // to stop
  future_state_base* state = nullptr;  // alive while linked: it is not ready, or is just calling on_ready
  child* next = nullptr;
  child* previous = nullptr;
};

children::~children() { assert(count_ == 0); }

children::child* children::enter(std::size_t index) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) throw tutti::closed(std::string(what_) + " has ended and takes no more tasks");
    ++count_;
  }
  try {
    return new child(*this, index);
  } catch (...) {
    left_by_one();
    throw;
  }
}

void children::drop(child& entry) noexcept {
  delete &entry;
  left_by_one();
}

void children::watch(child& entry, future_state_base& state) noexcept {
  const state_ref<future_state_base> kept(another_ref(state));
  bool stop_it = false;
  {
    const std::lock_guard lock(mutex_);
    entry.state = &state;
    entry.asked = stop_it = stopping_;
    link(entry);
  }
  state.when_ready(entry);  // which may be gone now
  if (stop_it) state.cancel();
}

void children::ended(child& entry, future_state_base& state) noexcept {
  state.observe();
  std::exception_ptr nobodys;
  bool stop_all = false;
  const std::exception_ptr& error = state.error();
  const bool was_cancelled = error != nullptr && is_cancelled(error);
  {
    const std::lock_guard lock(mutex_);
    unlink(entry);
    if (spared_ == &entry) spared_ = nullptr;
    if (first_to_end_ == none) {
      first_to_end_ = entry.index;
      stop_all = rule_ == rule::stop_after_first;
    }
    cancelled_ = cancelled_ || was_cancelled;
    if (error != nullptr && !(was_cancelled && rule_ == rule::group)) {
      if (rule_ == rule::stop_after_first) {
        (first_to_end_ == entry.index ? first_error_ : nobodys) = error;
      } else if (first_error_ == nullptr || (first_error_cancelled_ && !was_cancelled)) {
        first_error_ = error;
        first_error_cancelled_ = was_cancelled;
      } else {
        nobodys = error;
      }
      stop_all = stop_all || rule_ == rule::stop_after_error || rule_ == rule::group;
    }
  }
  if (nobodys != nullptr && rule_ != rule::wait) {
    report_unhandled(nobodys, state.describe(), unhandled_origin::sibling);
  }
  delete &entry;
  // Still counted, so that this object lives.
  if (stop_all) stop();
  left_by_one();
}

// The last access on behalf of a child: whoever waits for the last one may go on, and this object be gone.
void children::left_by_one() noexcept {
  wait_ticket* waits = nullptr;
  {
    const std::lock_guard lock(mutex_);
    --count_;
    if (waiter_ != nullptr && count_ <= waiter_->limit_) waits = &std::exchange(waiter_, nullptr)->ticket();
  }
  if (waits != nullptr) waits->claim(0);
}

void children::stop(bool first_too) noexcept {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  if (first_too && spared_ != nullptr) {
    unlink(*spared_);
    spared_->asked = false;
    link(*std::exchange(spared_, nullptr));
  }
  while (newest_ != nullptr && !newest_->asked) {
    child& entry = *newest_;
    unlink(entry);
    entry.asked = true;
    link(entry);
    if (!first_too && entry.index == 0) {
      spared_ = &entry;
      continue;
    }
    auto kept = another_ref(*entry.state);
    lock.unlock();
    cancel_in_turn(std::move(kept));  // not deeper and deeper, down a long line of descendants
    lock.lock();
  }
}

void children::throw_failure(const std::exception_ptr& failed) const {
  if (failed == nullptr) return;
  if (first_error_ != nullptr) report_unhandled(first_error_, what_, unhandled_origin::dropped_future);
  std::rethrow_exception(failed);
}

void children::throw_first_error(const std::exception_ptr& failed) const {
  throw_failure(failed);
  if (first_error_ != nullptr) std::rethrow_exception(first_error_);
  throw_if_stopped();
}

void children::throw_if_stopped() const {
  if (parent_stopped_ && cancelled_)
    throw tutti::cancelled(std::string("the task was stopped while it waited in ") + what_);
}

bool children::stopping() const noexcept {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

bool children::close() noexcept {
  const std::lock_guard lock(mutex_);
  closed_ = closed_ || count_ == 0;
  return closed_;
}

// New ones in front, those that were asked to stop at the end.
void children::link(child& entry) noexcept {
  child*& end = entry.asked ? oldest_ : newest_;
  child* const neighbour = std::exchange(end, &entry);
  entry.next = entry.asked ? nullptr : neighbour;
  entry.previous = entry.asked ? neighbour : nullptr;
  if (neighbour == nullptr) {
    newest_ = oldest_ = &entry;
  } else {
    (entry.asked ? neighbour->next : neighbour->previous) = &entry;
  }
}

void children::unlink(child& entry) noexcept {
  (entry.previous == nullptr ? newest_ : entry.previous->next) = entry.next;
  (entry.next == nullptr ? oldest_ : entry.next->previous) = entry.previous;
}

void children::describe(std::ostream& out) const {
  const std::lock_guard lock(mutex_);
  out << what_ << " for " << count_ << (count_ == 1 ? " task" : " tasks");
  constexpr int most = 8;
  int shown = 0;
  for (const child* c = oldest_; c != nullptr && shown < most; c = c->previous, ++shown) {
    out << (shown == 0 ? ": " : ", ") << task_text(c->state->describe());
  }
  if (shown == most && count_ > most) out << ", ...";
}

// ---------------------------------------------------------------- waiting

bool children::waiter::await_ready() const noexcept {
  const std::lock_guard lock(of_.mutex_);
  return of_.count_ <= limit_;
}

bool children::waiter::wait(coroutine_link& link) noexcept {
  begin(link);
  {
    const std::lock_guard lock(of_.mutex_);
    if (of_.count_ <= limit_) return false;
    of_.waiter_ = this;
  }
  if (wait_graph::observer() != nullptr) [[unlikely]]
    watch();
  return commit();
}

// An observer that refuses the wait makes it fail as an error of a child would: the others are stopped, and waited for.
void children::waiter::watch() noexcept {
  coroutine_run& run = *link().run;
  try {
    awaited_ = of_.left_now();
    std::vector<wait_target> targets;
    targets.reserve(awaited_.size());
    for (const auto& child : awaited_) targets.push_back(child->as_target());
    watched_.begin({.who = {&run.state(), run.name()},
                    .targets = targets,
                    .all = limit_ == 0 && of_.rule_ != rule::stop_after_first,
                    .ticket = &ticket(),
                    .limited = run.has_limits(),
                    .what = of_.what_,
                    .here = as_place(link().at)});
  } catch (...) {
    of_.fail(std::current_exception());
  }
}

std::vector<state_ref<future_state_base>> children::left_now() const {
  std::vector<state_ref<future_state_base>> left;
  const std::lock_guard lock(mutex_);
  left.reserve(count_);
  for (const child* c = oldest_; c != nullptr; c = c->previous) left.push_back(another_ref(*c->state));
  return left;
}

void children::fail(std::exception_ptr error) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (first_error_ == nullptr || first_error_cancelled_) first_error_ = std::move(error);
    first_error_cancelled_ = false;
  }
  stop();
}

void children::waiter::on_stop() noexcept {
  if (of_.rule_ == rule::shield) return;
  {
    const std::lock_guard lock(of_.mutex_);
    of_.parent_stopped_ = true;
  }
  of_.stop();
}

}  // namespace tutti::detail
