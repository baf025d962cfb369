// pool_job: a call on its way through a process_pool.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/block_cache.hpp>
#include <tutti/core/call.hpp>
#include <tutti/core/timers.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Every job is in one list: a queue, the lane of one worker, or what a section ends.
struct job : pooled {
  explicit job(call w)
      : work(std::move(w)),
        target(work->portable()),
        function(&target->function()),
        name(work->name()),
        limits(target->limits()),
        retries(limits.retries),
        priority(work->priority()) {}

  call work;              // its handle, until it has left; then `target` is that
  portable_call* target;  // null: it has come to its end, and only its worker is waited for
  const function_info* const function;
  const char* const name;  // for people
  std::string bytes;       // encoded arguments, unless a parcel has them
  std::vector<unique_fd> handles;
  const call_limits limits;
  int retries;
  int refusals = 0;  // by workers that it did not reach
  const int priority;
  std::uint64_t ticket = 0;    // in its lane
  std::uint32_t position = 0;  // in its lane's ring
  std::uint32_t parcel = 0;    // of its lane; 0: none
  std::size_t size = 0;        // of the arguments in it
  bool handles_gone = false;   // they were sent, and not kept: who has the other end of one must see it closed
  timer expiry;                // of its timeout
  std::exception_ptr error;    // to end with; null: it has its end already

 private:
  friend class job_list;
  job* next_ = nullptr;
  job* previous_ = nullptr;
};

/// A list that allocates nothing, so that no call is lost for want of memory. Does not own.
class job_list {
 public:
  job_list() = default;
  job_list(const job_list&) = delete;
  job_list& operator=(const job_list&) = delete;

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] job* front() const noexcept { return first_; }
  [[nodiscard]] job* back() const noexcept { return last_; }
  void push_back(job& one) noexcept {
    one.previous_ = last_;
    one.next_ = nullptr;
    (last_ == nullptr ? first_ : last_->next_) = &one;
    last_ = &one;
    ++size_;
  }
  void push_front(job& one) noexcept {
    one.previous_ = nullptr;
    one.next_ = first_;
    (first_ == nullptr ? last_ : first_->previous_) = &one;
    first_ = &one;
    ++size_;
  }
  void erase(job& one) noexcept {
    (one.previous_ == nullptr ? first_ : one.previous_->next_) = one.next_;
    (one.next_ == nullptr ? last_ : one.next_->previous_) = one.previous_;
    --size_;
  }
  /// The first for which `is_it` holds, or null.
  template <class Is>
  [[nodiscard]] job* find(Is is_it) const {
    for (job* one = first_; one != nullptr; one = one->next_) {
      if (is_it(*one)) return one;
    }
    return nullptr;
  }

 private:
  job* first_ = nullptr;
  job* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tutti::detail
