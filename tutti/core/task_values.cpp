#include <tutti/core/task_values.hpp>

#include <tutti/core/coroutine_run.hpp>
#include <tutti/core/worker.hpp>

namespace tutti {

task_values::task_values(const void* key, const void* value) noexcept : key_(key), value_(value), next_(current()) {
  if (next_ != nullptr) next_->retain();
}

const void* task_values::find(const task_values* list, const void* key) noexcept {
  for (; list != nullptr; list = list->next_) {
    if (list->key_ == key) return list->value_;
  }
  return nullptr;
}

void task_values::release() const noexcept {
  // A loop, not a recursive destructor: lists may be long.
  const task_values* list = this;
  while (list != nullptr && list->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    const task_values* const next = list->next_;
    delete list;
    list = next;
  }
}

namespace detail {

values_scope::values_scope(const task_values* adopted) noexcept {
  const bool none_forked = this_frame != nullptr && this_frame->run != nullptr &&
                           (this_worker == nullptr || this_worker->forks.bottom() == this_frame->fork_base);
  if (none_forked) {
    run_ = this_frame->run;
    before_ = run_->values();
    if (before_ != nullptr) before_->retain();
    run_->set_values(adopted);
    return;
  }
  frame_ = this_frame == nullptr ? task_frame{nullptr, "", nullptr, nullptr, nullptr, 0, 0} : *this_frame;
  frame_.parent = this_frame;
  frame_.values = adopted;
  frame_.run = nullptr;
  frame_.fork_base = this_worker == nullptr ? 0 : this_worker->forks.bottom();
  this_frame = &frame_;
}

values_scope::~values_scope() {
  if (run_ != nullptr) {
    run_->set_values(before_);
  } else {
    this_frame = frame_.parent;
    frame_.values->release();
  }
}

}  // namespace detail
}  // namespace tutti
