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

  /// The job, which is in no list, is over; its call fails with `error`, or, if that is null, has its end already.
  void end(job& one, std::exception_ptr error) noexcept {
    one.error = std::move(error);
    ended_.push_back(one);
    ++pool_.counts_.completed;
  }
  /// Unlocks and does it.
  void leave() noexcept {
    if (!lock_.owns_lock()) return;
    lock_.unlock();
    const std::size_t count = ended_.size();
    while (job* const one = ended_.front()) {
      ended_.erase(*one);
      complete(*one);
      delete one;
    }
    if (count != 0 && pool_.left_.fetch_sub(count, std::memory_order_seq_cst) == count) pool_.drained_.wake_all();
    // Whoever collects may wait for one of these.
    if (count != 0) ring(pool_.bell_);
  }

 private:
  static void complete(job& one) noexcept {
    if (one.error == nullptr) return;
    if (one.work.operator->() != nullptr) {
      std::move(one.work).abandon(std::move(one.error));
    } else if (one.target != nullptr) {
      one.target->fail(std::move(one.error));
    }
  }

  pool_core& pool_;
  std::unique_lock<std::mutex> lock_;
  job_list ended_;
};

}  // namespace tutti::detail
