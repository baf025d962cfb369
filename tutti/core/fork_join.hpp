// fork_join: runs functions at once, some perhaps on other workers, and returns all their results.
//
// A fork is two stores and a predictable branch: the right branch is pushed as a record on our own stack and popped
// again when the left one is done, unless somebody asked for work meanwhile (see fork_deque.hpp).
#pragma once
#include <tutti/base/function.hpp>
#include <tutti/core/guest.hpp>
#include <tutti/core/worker.hpp>

#include <concepts>
#include <exception>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace tutti {

namespace detail {

template <class F>
struct branch_traits {
  using raw = std::invoke_result_t<F&>;
  static_assert(!is_task<std::decay_t<raw>>,
                "tutti: a branch of fork_join returns a coroutine task, which fork_join would only create: "
                "await them together with when_all");
  using result = std::conditional_t<std::is_void_v<raw>, std::monostate, std::decay_t<raw>>;
};
template <class F>
using branch_result = typename branch_traits<F>::result;

// A result in storage of its own: needs no default constructor.
template <class R>
union result_box {
  result_box() noexcept {}
  ~result_box() {}
  R value;
};

template <class F, class R>
void construct_result(F& f, result_box<R>& box) {
  if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
    f();
    ::new (static_cast<void*>(&box.value)) R();
  } else {
    ::new (static_cast<void*>(&box.value)) R(f());
  }
}

// Destroys a result at the end of the scope unless it was released.
template <class R>
class result_guard {
 public:
  explicit result_guard(result_box<R>& box) noexcept : box_(&box) {}
  ~result_guard() {
    if (box_ != nullptr) box_->value.~R();
  }
  result_guard(const result_guard&) = delete;
  result_guard& operator=(const result_guard&) = delete;
  void release() noexcept { box_ = nullptr; }

 private:
  result_box<R>* box_;
};

// The branch that others may run. Trivial but for `run`, so that a fork nobody steals pays for nothing else.
template <class F, class R>
struct branch : fork_record {
  branch(F& f, result_box<R>& result) noexcept : function(f), box(result) { run = &run_elsewhere; }

  static void run_elsewhere(fork_record* record) noexcept {
    auto& self = *static_cast<branch*>(record);
    try {
      construct_result(self.function, self.box);
      self.failed = false;
    } catch (...) {
      ::new (static_cast<void*>(&self.error.value)) std::exception_ptr(std::current_exception());
      self.failed = true;
    }
  }
  // After a join that found it run elsewhere.
  std::exception_ptr take_error() noexcept {
    std::exception_ptr taken = std::move(error.value);
    error.value.~exception_ptr();
    return taken;
  }

  F& function;
  result_box<R>& box;
  result_box<std::exception_ptr> error;
  bool failed;
};

// Without a worker, or with too many forks open: one after the other.
template <class F, class G, class RF, class RG>
[[gnu::noinline, gnu::cold]] void run_two(F& f, G& g, result_box<RF>& left, result_box<RG>& right) {
  construct_result(f, left);
  result_guard<RF> undo(left);
  construct_result(g, right);
  undo.release();
}

// A fork offers work to whoever is idle, and wakes somebody for it.
struct always_worth_it {
  constexpr bool operator()() const noexcept { return true; }
};

// Constructs both results, or none and throws; the left error first. `worth_it()` is asked when somebody wants work:
// false keeps the branch private for now.
//
// always_inline, here and below: in recursive callers g++ keeps a call and a round through memory per fork (3.0
// against 2.1 ns per call of fib).
template <class F, class G, class RF, class RG, class WorthIt = always_worth_it>
[[gnu::always_inline]] inline void fork_two(worker* w, F& f, G& g, result_box<RF>& left, result_box<RG>& right,
                                            WorthIt worth_it = {}) {
  if (w == nullptr || w->forks.full()) [[unlikely]]
    return run_two(f, g, left, right);
  branch<G, RG> other(g, right);
  const std::uint32_t at = w->forks.bottom();
  w->forks.push(&other);
  if (w->forks.wanted() && worth_it()) [[unlikely]]
    w->offer_oldest();
  try {
    construct_result(f, left);
  } catch (...) {
    // Not started: it never will be. Started: it uses our stack, so wait; its own error loses to the left one.
    if (!w->forks.pop_private(at) && !w->join_published(other, at)) {
      if (other.failed) {
        other.take_error();
      } else {
        right.value.~RG();
      }
    }
    throw;
  }
  result_guard<RF> undo(left);
  if (w->forks.pop_private(at) || w->join_published(other, at)) [[likely]] {
    construct_result(g, right);
  } else if (other.failed) [[unlikely]] {
    std::rethrow_exception(other.take_error());
  }
  undo.release();
}

// The result of a branch that has filled boxes[I...]: destroys them, unless released.
template <std::size_t I, class Boxes>
class filled_boxes {
 public:
  explicit filled_boxes(Boxes& boxes) noexcept : boxes_(&boxes) {}
  filled_boxes(filled_boxes&& other) noexcept : boxes_(std::exchange(other.boxes_, nullptr)) {}
  ~filled_boxes() {
    if (boxes_ == nullptr) return;
    [&]<std::size_t... K>(std::index_sequence<K...>) {
      (destroy(std::get<I + K>(*boxes_)), ...);
    }(std::make_index_sequence<std::tuple_size_v<Boxes> - I>());
  }
  void release() noexcept { boxes_ = nullptr; }

 private:
  template <class R>
  static void destroy(result_box<R>& box) noexcept {
    box.value.~R();
  }
  Boxes* boxes_;
};

// Forks functions[I...]: the first here, the rest as one branch.
template <std::size_t I, class Functions, class Boxes>
[[gnu::always_inline]] inline void fork_from(worker* w, Functions& functions, Boxes& boxes) {
  constexpr std::size_t left = std::tuple_size_v<Functions> - I;
  if constexpr (left == 1) {
    construct_result(std::get<I>(functions), std::get<I>(boxes));
  } else if constexpr (left == 2) {
    fork_two(w, std::get<I>(functions), std::get<I + 1>(functions), std::get<I>(boxes), std::get<I + 1>(boxes));
  } else {
    using filled = filled_boxes<I + 1, Boxes>;
    auto rest = [&] {
      fork_from<I + 1>(this_worker, functions, boxes);
      return filled(boxes);
    };
    result_box<filled> others;
    fork_two(w, std::get<I>(functions), rest, std::get<I>(boxes), others);
    others.value.release();
    others.value.~filled();
  }
}

template <class... F>
[[gnu::always_inline]] inline auto fork_join_on(worker* w, F&... f) {
  std::tuple<F&...> functions(f...);
  std::tuple<result_box<branch_result<F>>...> boxes;
  fork_from<0>(w, functions, boxes);
  if constexpr ((std::is_void_v<std::invoke_result_t<F&>> && ...)) {
    return;
  } else {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      const std::tuple<result_guard<branch_result<F>>...> guards(std::get<I>(boxes)...);
      return std::tuple<branch_result<F>...>(std::move(std::get<I>(boxes).value)...);
    }(std::index_sequence_for<F...>());
  }
}

template <class... F>
[[gnu::noinline, gnu::cold]] auto fork_join_as_guest(F&... f) {
  const guest here;
  return fork_join_on(here.as_worker(), f...);
}

}  // namespace detail

/// Runs all functions, which take no arguments, and returns their results as a tuple: `auto [a, b] = fork_join(f, g);`.
/// The first runs on the calling thread; the others too, unless an idle worker takes them. void results are
/// std::monostate; when all are void, so is the call. Nests freely.
///
/// Blocks until all have ended. An exception of a branch skips the branches to its right that have not started, waits
/// for those that have, and the leftmost one is thrown. On a pool's worker it uses that pool; elsewhere the caller
/// becomes a worker of default_pool() for the length of the call. Inside a coroutine it blocks the worker.
template <class... F>
  requires(sizeof...(F) >= 1 && (std::invocable<F&> && ...))
[[gnu::always_inline]] inline auto fork_join(F&&... functions) {
  if (worker* const w = this_worker; w != nullptr) [[likely]]
    return detail::fork_join_on(w, functions...);
  return detail::fork_join_as_guest(functions...);
}

}  // namespace tutti
