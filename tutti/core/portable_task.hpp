// portable_task: a submitted call that can leave the process.
#pragma once
#include <tutti/base/codec.hpp>
#include <tutti/core/task_state.hpp>

namespace tutti::detail {

/// On a thread that runs calls for another process: where a call that is several notes which of them it has begun with,
/// counted from 0. Null elsewhere.
inline constinit thread_local std::atomic<std::uint32_t>* part_begun = nullptr;

/// The parts that calls of one function and of a chunk of elements share. `Invoke` has the arguments as bytes
/// (`encode_to`), and the result from bytes (`decode_result`, if R is not void).
template <class R, class Invoke>
class portable_task_base : public task_state<R, Invoke>, public portable_call {
 public:
  using task_state<R, Invoke>::task_state;

  portable_call* portable() noexcept final { return this; }
  void encode_arguments(std::string& out) const final { this->invoke_.encode_to(out); }
  call_limits limits() const noexcept final { return this->task_state_base::limits(); }
  bool begin(std::shared_ptr<call_runner> where) noexcept final {
    if (!this->claim()) return false;
    if (where != nullptr) {
      where_ = std::move(where);
      // seq_cst: who asks it to stop sets that first and then looks here; who calls begin then looks at
      // stop_requested(). So one of the two sees the other. release: `where_` is visible.
      left_.store(true, std::memory_order_seq_cst);
    }
    return true;
  }
  bool stop_requested() const noexcept final { return future_state_base::stop_requested(); }
  void complete(std::string_view encoded) noexcept final {
    try {
      if constexpr (std::is_void_v<R>) {
        this->settle_value();
      } else {
        this->settle_value(Invoke::decode_result(encoded));
      }
    } catch (...) {
      this->settle_error(std::current_exception());
    }
    this->release();
  }
  void fail(std::exception_ptr error) noexcept final {
    this->settle_error(std::move(error));
    this->release();
  }

 private:
  void stopping() noexcept final {
    if (left_.load(std::memory_order_seq_cst)) where_->stop(*this);
  }
  void attend() noexcept final {
    if (!left_.load(std::memory_order_acquire)) return;
    where_->help([](const void* self) { return static_cast<const portable_task_base*>(self)->is_ready(); }, this);
  }

  std::shared_ptr<call_runner> where_;  // written once, before `left_`; until the end, as attend may come at any time
  std::atomic<bool> left_{false};
};

}  // namespace tutti::detail
