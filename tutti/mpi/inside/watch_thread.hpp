// watch_thread: the thread on each rank that tells rank 0 when the rank blocks, and on rank 0 the one that judges.
//
// It has a communicator of its own, so the program's messages and its own never meet. A rank that has been blocked for
// a while sends what it waits for; rank 0 asks back when that, together with what it has from others, looks like a
// deadlock (rank_judge.hpp). Nothing is sent while all ranks run.
#pragma once
#include <tutti/mpi/inside/quiet_threads.hpp>
#include <tutti/mpi/inside/rank_judge.hpp>
#include <tutti/mpi/inside/rank_ledger.hpp>

#define OMPI_SKIP_MPICXX 1  // the C++ bindings that were removed from the standard
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace tutti::mpi::detail {

class watch_thread {
 public:
  struct options {
    std::chrono::nanoseconds late{};  ///< how long a collective may wait for a rank that runs
    bool one_thread = false;          ///< only the one that makes this may call MPI
    std::vector<long> own_threads;    ///< of MPI
    std::vector<code_range> library;  ///< MPI's code
  };

  /// `own` is its to use, and to free.
  watch_thread(MPI_Comm own, rank_ledger& ledger, options wanted);
  watch_thread(const watch_thread&) = delete;
  watch_thread& operator=(const watch_thread&) = delete;

  /// A thread that does nothing for the program by itself.
  void add_own_thread(long number);
  /// This rank makes no calls any more. Waits for all others to come here; not before, as they may need to be told of.
  void finish(const place& here);

 private:
  using clock = std::chrono::steady_clock;
  struct sending {
    MPI_Request request;
    std::string bytes;
  };
  struct told {  // to rank 0: that this rank is blocked
    std::uint64_t ledger_epoch;
    std::uint64_t number;
    std::optional<std::vector<quiet_thread>> quiet;  // nothing: other threads do not matter
    rank_ledger::standing standing;
    bool has_worked;
  };

  void run();
  void receive_all();
  void look();
  void tell(rank_report report, bool is_doubtful, bool has_worked);
  void judge();
  void send(int to, int tag, std::string bytes);
  void flush();
  bool step_to_the_end();
  bool threads_matter() const;
  std::optional<std::vector<quiet_thread>> quiet_now();
  bool has_worked(const rank_ledger::standing& standing) const;
  std::uint64_t epoch_for(const rank_ask& asked, std::vector<bool>& done);
  [[noreturn]] void end_job(const std::string& verdict);

  MPI_Comm comm_;
  rank_ledger& ledger_;
  const options options_;
  const long main_ = this_thread_number();
  int rank_ = 0, size_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<long> own_threads_;

  // The thread's.
  std::list<sending> sending_;
  std::uint64_t epoch_ = 0;
  clock::time_point since_ = clock::now(), looked_ = since_;
  std::optional<told> told_;
  std::uint64_t numbers_ = 0;
  std::optional<rank_judge> judge_;  // on rank 0
  MPI_Request all_in_end_ = MPI_REQUEST_NULL, all_silent_ = MPI_REQUEST_NULL;
  enum class phase { running, ending, silent } phase_ = phase::running;

  std::thread thread_;
};

}  // namespace tutti::mpi::detail
