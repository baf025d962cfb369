// blocking_wait: a thread that sleeps on a wait_ticket, with all that belongs to it: the pool's spare thread, dump,
// trace points, observers of waits, limit and stop. wait_list::wait is made of it; who waits in several lists at once
// uses it directly.
#pragma once
#include <tutti/core/thread_record.hpp>
#include <tutti/core/wait_list.hpp>

#include <span>
#include <string>

namespace tutti {

class worker;

/// "channel::send of "jobs" at file:line", for errors: what waits, for what if that has a name, and where.
std::string wait_text(const wait_how& how);

/// From its construction to its end the calling thread counts as blocked. On a pool's worker the pool keeps its number
/// of runnable threads meanwhile.
class blocking_wait {
 public:
  /// `source`: where it waits, for trace points. Throws would_block (see wait_how::instead) and pool_exhausted.
  blocking_wait(const void* source, const wait_how& how);
  ~blocking_wait();
  blocking_wait(const blocking_wait&) = delete;
  blocking_wait& operator=(const blocking_wait&) = delete;

  /// Sleeps until `ticket`, whose sleeper is this thread's, is claimed: by a list that it was entered in before, by the
  /// limit or by the stop. Throws what an observer of waits throws; the ticket may have been claimed by then.
  void sleep(wait_ticket& ticket, std::span<const wait_target> targets);

  const std::stop_token& stop() const noexcept { return stop_; }

 private:
  const wait_how& how_;
  const std::stop_token stop_;
  worker* const worker_;
  const thread_record::waiting shown_;
};

}  // namespace tutti
