// pool_section: a stretch under a process_pool's mutex_, and what must be done right after it.
#pragma once
#include <tutti/process/pool_core.hpp>

namespace tutti::detail {

/// Completing a call runs foreign code, and so does destroying its arguments: both wait for the end of the section.
class pool_core::section {
 public:
  explicit section(pool_core& pool) : pool_(pool), lock_(pool.mutex_) {}
  ~section() { leave(); }
  section(const section&) = delete;
  section& operator=(const section&) = delete;

  /// The call fails; the job is over.
  void end(job* one, std::exception_ptr error) {
    ended_.push_back({one, std::move(error)});
    ++pool_.counts_.completed;
  }
  /// The job is over; its call is, too, or was cancelled before it left.
  void end(job* one) { end(one, nullptr); }
  /// The call fails; the job stays with its worker.
  void fail(job& one, std::exception_ptr error) {
    failed_.push_back({std::exchange(one.target, nullptr), std::move(error)});
  }

  /// Unlocks and does it.
  void leave() noexcept {
    if (!lock_.owns_lock()) return;
    lock_.unlock();
    for (auto& [target, error] : failed_) target->fail(std::move(error));
    for (auto& [one, error] : ended_) {
      if (error != nullptr) complete(*one, std::move(error));
      delete one;
    }
    if (ended_.empty()) return;
    if (pool_.left_.fetch_sub(ended_.size(), std::memory_order_seq_cst) == ended_.size()) pool_.drained_.wake_all();
    // Whoever collects may wait for one of these.
    pool_.wake_collector();
  }

 private:
  static void complete(job& one, std::exception_ptr error) noexcept {
    if (one.work.operator->() != nullptr) {
      std::move(one.work).abandon(std::move(error));
    } else if (one.target != nullptr) {
      one.target->fail(std::move(error));
    }
  }

  pool_core& pool_;
  std::unique_lock<std::mutex> lock_;
  std::vector<std::pair<job*, std::exception_ptr>> ended_;
  std::vector<std::pair<portable_call*, std::exception_ptr>> failed_;
};

}  // namespace tutti::detail
