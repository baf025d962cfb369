// completion_queue: which of several futures are done, in order of completion.
#pragma once
#include <tutti/core/future_state.hpp>

#include <memory>
#include <mutex>
#include <optional>

namespace tutti {

/// Collects the numbers of futures as they complete. Watched states report to a part shared with the queue, so the
/// queue may go while they still run.
class completion_queue {
 public:
  /// Watches nothing yet.
  completion_queue() : shared_(std::make_shared<shared>()) {}

  /// Reports `number` once `state` is ready. Leaves the error alone: whoever takes the result sees it. Returns what
  /// unwatch needs.
  ready_callback* watch(future_state_base& state, std::size_t number) {
    auto* const watching = new callback(shared_, number);
    state.when_ready(*watching);
    ++watched_;
    return watching;
  }
  /// Ends a watch, so that a state that is watched again and again does not collect callbacks. For when no more is
  /// popped.
  static void unwatch(future_state_base& state, ready_callback* watching) noexcept {
    if (state.forget(watching)) delete static_cast<callback*>(watching);
  }
  /// How many watched states were not popped yet.
  std::size_t left() const noexcept { return watched_ - popped_; }

  /// Blocks until one more is done and returns its number; nothing when `how`'s limit came first.
  /// Precondition: left() != 0.
  std::optional<std::size_t> pop(const wait_how& how) {
    std::optional<std::size_t> number;
    shared_->waiters.wait(
        [&] {
          number = shared_->take();
          return number.has_value();
        },
        how);
    if (number) ++popped_;
    return number;
  }
  /// The same without blocking.
  std::optional<std::size_t> try_pop() {
    const auto number = shared_->take();
    if (number) ++popped_;
    return number;
  }

 private:
  struct shared;
  // Becomes the entry in the list of those that are done: completing a future must not need memory.
  struct callback final : ready_callback {
    callback(std::shared_ptr<shared> queue, std::size_t index) : to(std::move(queue)), number(index) {}
    void on_ready(future_state_base&) noexcept override {
      const auto queue = std::move(to);
      {
        const std::lock_guard lock(queue->mutex);
        *queue->last = this;
        queue->last = &next;
      }
      queue->waiters.wake_one();
    }
    std::shared_ptr<shared> to;
    callback* next = nullptr;
    const std::size_t number;
  };
  struct shared {
    shared() = default;
    shared(const shared&) = delete;
    shared& operator=(const shared&) = delete;
    ~shared() {
      while (take()) {
      }
    }
    std::optional<std::size_t> take() {
      std::unique_ptr<callback> taken;
      const std::lock_guard lock(mutex);
      if (first == nullptr) return std::nullopt;
      taken.reset(first);
      first = taken->next;
      if (first == nullptr) last = &first;
      return taken->number;
    }
    small_mutex mutex;
    callback* first = nullptr;  // in order of completion
    callback** last = &first;
    wait_list waiters;
  };

  std::shared_ptr<shared> shared_;
  std::size_t watched_ = 0, popped_ = 0;
};

}  // namespace tutti
