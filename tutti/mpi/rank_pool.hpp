// rank_pool: an executor over the ranks of a communicator.
#pragma once
#include <tutti/core/executor.hpp>
#include <tutti/mpi/communicator.hpp>

#include <memory>

namespace tutti::mpi {

namespace detail {
class pool_core;
}  // namespace detail

/// The ranks of a communicator run portable functions: submit<f>(args...), map<f>(range), with(options), as on every
/// executor. All ranks make one together. Rank 0 is the caller's: there the constructor returns at once. On all others
/// it runs calls until rank 0's pool is shut down, and then returns, so what stands behind runs on every rank:
///
///     tutti::mpi::rank_pool pool;
///     if (pool.is_caller()) {
///       for (double y : pool.map<f>(xs)) use(y);
///       pool.shutdown();
///     }
///
/// With one rank its calls run on a thread of this process. A rank that dies takes the calls that it ran with it
/// (`worker_lost`, or another attempt with .retries); the others go on without it, provided that the launcher lets them
/// live. A call that outlives its timeout is asked to stop and fails with `timed_out`; its rank gets no other one until
/// it has ended, as a rank cannot be killed.
///
/// Only the constructor calls MPI; so it works with every thread level. Thread-safe. Destroying it finishes what it was
/// given.
class rank_pool : public executor {
 public:
  /// Over all ranks of `world()`. Throws as below.
  rank_pool();
  /// Over the ranks of `members`. Collective. Throws mpi::error, os_error when the system has no sockets, worker_lost
  /// when a rank dies meanwhile; on ranks other than 0, also when rank 0 dies.
  explicit rank_pool(const communicator& members);
  ~rank_pool() override;

  /// Whether this is rank 0, which submits. On others submit throws `closed`: their pool has served, and is over.
  [[nodiscard]] bool is_caller() const noexcept { return rank_ == 0; }
  /// The ranks that run calls: all but rank 0, but for those that died; 1 when rank 0 is alone.
  int concurrency() const override;
  void shutdown(shutdown_mode mode = finish) override;
  std::unique_ptr<executor> share() override;
  /// Whether a rank has died.
  [[nodiscard]] bool has_lost_any() const noexcept;

 protected:
  void start(call work) override;

 private:
  rank_pool(std::uint64_t id, const rank_pool& other);
  int rank_ = 0;
  std::shared_ptr<detail::pool_core> core_;  // with several ranks, on rank 0
  std::unique_ptr<executor> alone_;          // with one
};

}  // namespace tutti::mpi
