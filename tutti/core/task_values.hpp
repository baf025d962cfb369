// task_values: values that follow spawns: what a task binds, the tasks it submits inherit.
#pragma once
#include <tutti/core/task_frame.hpp>

#include <atomic>
#include <memory>
#include <utility>

namespace tutti {

/// An immutable list of bindings, shared by all tasks that inherited it; newest first.
class task_values {
 public:
  virtual ~task_values() = default;

  /// The bindings in force here; null: none.
  static const task_values* current() noexcept { return this_frame == nullptr ? nullptr : this_frame->values; }
  /// The newest binding of `key` at or behind `list`; null: none.
  static const void* find(const task_values* list, const void* key) noexcept;

  void retain() const noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() const noexcept;

 protected:
  task_values(const void* key, const void* value) noexcept;

 private:
  mutable std::atomic<std::uint32_t> references_{1};
  const void* const key_;
  const void* const value_;  // inside the derived object
  const task_values* const next_;
};

/// Owns one reference to a list.
class task_values_ref {
 public:
  explicit task_values_ref(const task_values* list) noexcept : list_(list) {
    if (list_ != nullptr) list_->retain();
  }
  ~task_values_ref() {
    if (list_ != nullptr) list_->release();
  }
  task_values_ref(const task_values_ref&) = delete;
  task_values_ref& operator=(const task_values_ref&) = delete;
  const task_values* get() const noexcept { return list_; }

 private:
  const task_values* list_;
};

namespace detail {
template <class T>
struct bound_value final : task_values {
  template <class A>
  bound_value(const void* key, A&& argument) : task_values(key, &value), value(std::forward<A>(argument)) {}
  const T value;
};

// Installs a list for a stretch of this thread's work: a frame of its own, so that branches forked before keep the old.
// In a coroutine, which may end the scope on another thread, it is the task's list that is changed.
class values_scope {
 public:
  explicit values_scope(const task_values* adopted) noexcept;
  ~values_scope();
  values_scope(const values_scope&) = delete;
  values_scope& operator=(const values_scope&) = delete;

 private:
  task_frame frame_{};
  coroutine_run* run_ = nullptr;         // whose list it changed
  const task_values* before_ = nullptr;  // its list before, with a reference
};
}  // namespace detail

/// A variable whose value a task inherits from the task (or thread) that submitted it, at the moment of submission; a
/// request id, a user, a locale. Reading walks the bindings, a handful. Static storage; thread-safe.
///
///     tutti::task_local<std::string> request{"none"};
///     auto bound = request.bind("r-17");        // until the end of the scope
///     pool.submit([] { log(request.get()); });  // "r-17", whenever it runs
template <class T>
class task_local {
 public:
  /// `fallback`: what get() returns where nothing is bound.
  explicit task_local(T fallback = T()) : fallback_(std::move(fallback)) {}
  task_local(const task_local&) = delete;
  task_local& operator=(const task_local&) = delete;

  /// The value in force here. The reference is valid while the task, or the binding scope, lasts.
  const T& get() const noexcept {
    const void* found = task_values::find(task_values::current(), this);
    return found == nullptr ? fallback_ : *static_cast<const T*>(found);
  }

  /// Binds a value on this thread until the returned object is destroyed, in reverse order of binding, on this thread.
  template <class A = T>
  [[nodiscard]] detail::values_scope bind(A&& value) const {
    return detail::values_scope(new detail::bound_value<T>(this, std::forward<A>(value)));
  }

 private:
  T fallback_;
};

}  // namespace tutti
