#include <tutti/core/blocking_wait.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/trace.hpp>
#include <tutti/core/call.hpp>
#include <tutti/core/run_loop.hpp>
#include <tutti/core/scheduler.hpp>

#include <new>
#include <string>

namespace tutti {

std::string wait_text(const wait_how& how) {
  const bool named = how.target != nullptr && !how.target->name.empty();
  return how.what + (named ? " of \"" + std::string(how.target->name) + '"' : std::string()) + " at " +
         to_string(how.here);
}

namespace {

// What waits on a loop's thread keeps the whole loop waiting, perhaps for what only the loop can do.
void refuse_to_block_loop(const wait_how& how) {
  if (this_worker != nullptr || detail::loop_engine::current() == nullptr) return;
  throw would_block(wait_text(how) + " would block this thread's run_loop and all that runs on it; co_await " +
                    how.instead);
}

// On a pool's worker: the pool finds somebody to run in our place.
worker* begin_block(const wait_how& how) {
  if (how.instead != nullptr) refuse_to_block_loop(how);
  before_sleeping();
  worker* const self = detail::loop_engine::blocked_worker();
  if (self != nullptr && !self->pool->begin_block(*self)) {
    throw pool_exhausted("thread_pool \"" + self->pool->name() + "\": this " + wait_text(how) +
                         " needs a spare thread in its place, but " + std::to_string(scheduler::max_spares) +
                         " are blocked already, or the system gives no more; wait in coroutines, or block less");
  }
  return self;
}

// Names of what is waited for live as long as that does, those in a recording for ever.
void trace_name(const wait_target& target) noexcept {
  const char* name = "";
  try {
    if (!target.name.empty()) name = intern(target.name);
  } catch (const std::bad_alloc&) {  // then without
  }
  trace_point(trace_kind::wait_name, target.kind, name);
}

}  // namespace

blocking_wait::blocking_wait(const void* source, const wait_how& how)
    : how_(how), stop_(how.stop.token()), worker_(begin_block(how)), shown_(how.what, how.here, source) {
  if (how.target != nullptr && tracing()) trace_name(*how.target);
}

blocking_wait::~blocking_wait() {
  if (worker_ != nullptr) worker_->pool->end_block(*worker_);
}

void blocking_wait::sleep(wait_ticket& ticket, std::span<const wait_target> targets) {
  wait_graph::watched_wait watched;
  watched.begin({.who = wait_graph::self(),
                 .targets = targets,
                 .ticket = &ticket,
                 .limited = how_.deadline != nullptr || stop_.stop_possible(),
                 .what = how_.what,
                 .here = how_.here});
  const std::stop_callback on_stop(stop_, [&] { ticket.claim(wait_ticket::by_stop); });
  sleep_on(ticket, how_.deadline);
}

}  // namespace tutti
