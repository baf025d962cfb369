// progress: who asks MPI whether what coroutines wait for has ended.
//
// A thread of its own, "tutti/mpi", which sleeps while nobody waits; or the loop of mpi::run, for what is awaited on
// it.
#pragma once
#include <tutti/mpi/request_wait.hpp>

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <vector>

namespace tutti::mpi::detail {

/// The requests that somebody awaits. `add` and `note_give_up` from any thread; all else by one.
class progress_set {
 public:
  void add(pending& one);
  /// Something in the set is to be given up.
  void note_give_up() noexcept { give_up_.store(true, std::memory_order_release); }
  /// Asks MPI once; tells the end of all that has ended: whether any has.
  bool poll() noexcept;
  [[nodiscard]] bool empty();
  /// MPI is about to end: ends all awaits, with `cancelled`.
  void end_all() noexcept;

 private:
  void take_new();
  void give_up_some() noexcept;
  bool look_for_messages() noexcept;

  std::mutex mutex_;
  std::vector<pending*> new_;
  std::atomic<bool> has_new_{false}, give_up_{false};
  // The one thread's.
  std::vector<pending*> all_, looked_for_;
  std::vector<MPI_Request> requests_;  // of all_
  std::vector<int> ended_;
  std::vector<MPI_Status> came_;
};

/// How long to wait before asking again: first not at all, then longer and longer.
class patience {
 public:
  void reset() noexcept { rounds_ = 0; }
  /// Zero: at once.
  std::chrono::microseconds next() noexcept;

 private:
  unsigned rounds_ = 0;
};

/// Has the right one ask for it: the loop that this thread drives, or the thread. `by` is written first. Throws
/// std::logic_error when there may be none.
void make_progress(pending& one, progress_set*& by, const char* what);
/// The end of the thread, before the end of MPI.
void stop_progress();

}  // namespace tutti::mpi::detail
