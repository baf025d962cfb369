// executor: a place where code runs; the interface that threads, processes, ranks and machines share.
#pragma once
#include <tutti/base/registry.hpp>
#include <tutti/core/bulk.hpp>
#include <tutti/core/call.hpp>
#include <tutti/core/future.hpp>
#include <tutti/core/kept_options.hpp>
#include <tutti/core/map.hpp>
#include <tutti/core/portable_task.hpp>
#include <tutti/core/scheduler.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <ranges>
#include <stdexcept>

namespace tutti {

/// How to shut an executor down: `finish` completes all that was handed in, `cancel` completes what has not begun with
/// `cancelled` and asks the rest to stop.
inline constexpr shutdown_mode finish = shutdown_mode::finish;
inline constexpr shutdown_mode cancel = shutdown_mode::cancel;

namespace detail {

// Runs a portable function with stored arguments; with retries to come the arguments must survive.
template <auto F>
struct invoke_portable {
  using traits = function_traits<F>;
  typename traits::stored_args arguments;
  static auto result_of(typename traits::stored_args& from) {
    using raw = typename traits::raw_result;
    if constexpr (std::is_void_v<raw>) {
      traits::call(from);
    } else {
      return function_result<raw>::get(traits::call(from));
    }
  }
  auto operator()(bool last) {
    if constexpr (std::copy_constructible<typename traits::stored_args>) {
      if (!last) {
        auto copy = arguments;
        return result_of(copy);
      }
    }
    return result_of(arguments);
  }
  void encode_to(std::string& out) const { encode(out, arguments); }
  static auto decode_result(std::string_view encoded) { return decode<typename traits::result>(encoded); }
};

// A call that runs again needs its arguments again.
template <class Arguments>
void check_retries(const call_options& options) {
  if constexpr (!std::copy_constructible<Arguments>) {
    if (options.retries > 0) {
      throw std::invalid_argument(
          "submit: retries need arguments that can be copied, and this function takes some that only move");
    }
  }
}

// The function's name for people: dump, traces, errors.
template <auto F>
consteval std::string_view shown_name() {
  using T = std::remove_cvref_t<decltype(F)>;
  if constexpr (is_fn<T>) {
    return shown_name<T::function>();
  } else if constexpr (is_named<T>) {
    return T::name();
  } else {
    std::string_view name = spelling<F>();
    if (name.starts_with('&')) name.remove_prefix(1);  // clang
    return name;
  }
}
template <auto F>
inline constexpr auto shown_text = [] {
  std::array<char, shown_name<F>().size() + 1> text{};  // with a zero at the end
  std::ranges::copy(shown_name<F>(), text.begin());
  return text;
}();
template <auto F>
const char* task_name() noexcept {
  return shown_text<F>.data();
}

template <auto F>
const char* portable_name() {
  return function_of<F>().name.data();
}

template <auto F>
class portable_task final : public portable_task_base<typename function_traits<F>::result, invoke_portable<F>> {
 public:
  using portable_task_base<typename function_traits<F>::result, invoke_portable<F>>::portable_task_base;
  const function_info& function() const override { return function_of<F>(); }
};

}  // namespace detail

class executor;
class executor_view;

/// The calls that work on every executor: functions named at compile time, whose arguments and results can be encoded.
/// A mixin: `Self` is an executor or a view of one with options.
template <class Self>
class portable_api {
 public:
  /// Calls F with the arguments, which are converted to its parameter types before submit returns. The future delivers
  /// the result or the exception. Never blocks. Throws `closed` after shutdown.
  template <auto F, class... A>
  auto submit(A&&... arguments) -> future<typename function_traits<F>::result>;

  /// Calls F with each element of `range` (tuple-like elements are its arguments) and gives the results in input order,
  /// lazily, a few chunks ahead. See map.hpp.
  template <auto F, std::ranges::input_range R>
  auto map(R&& range, map_options options = {});
  /// The same in order of completion, as {index, value}.
  template <auto F, std::ranges::input_range R>
  auto map_unordered(R&& range, map_options options = {});
  /// Calls F with each element and gives all results at once; the first error in input order, if any.
  template <auto F, std::ranges::input_range R>
  auto submit_bulk(R&& range, map_options options = {});

  /// Lambdas and other objects cannot leave this process.
  template <std::ranges::input_range R, class G>
  void map(R&&, G&&, map_options = {}) {
    refuse_object<G>();
  }
  template <std::ranges::input_range R, class G>
  void map_unordered(R&&, G&&, map_options = {}) {
    refuse_object<G>();
  }
  template <std::ranges::input_range R, class G>
  void submit_bulk(R&&, G&&, map_options = {}) {
    refuse_object<G>();
  }
  template <class G, class... A>
  void submit(G&&, A&&...) {
    refuse_object<G>();
  }

 private:
  template <class G>
  static void refuse_object() {
    static_assert(
        sizeof(G) == 0,
        "tutti: this executor may not share memory with its caller, so it takes functions by name only: write "
        "submit<f>(args...), map<f>(range), or use a local_executor (thread_pool, inline_executor) for lambdas");
  }
};

/// A place where code runs. Thread-safe. Destroying one finishes what it was given.
class executor : public portable_api<executor> {
 public:
  virtual ~executor() = default;
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;

  /// The same executor with options for the calls made through the view: `pool->with({.retries = 3}).submit<f>(x)`. The
  /// view copies nothing: use it at once.
  executor_view with(call_options options);
  /// How many calls run at once.
  virtual int concurrency() const = 0;
  /// Blocks until all calls are complete; then, and for others from the start, submit throws `closed`. The calls being
  /// finished may submit more. Calling it again, or from several threads, is harmless.
  virtual void shutdown(shutdown_mode mode = finish) = 0;
  /// Another handle to the same place; shutdown of one is shutdown of all, and the last one destroyed finishes the
  /// work.
  virtual std::unique_ptr<executor> share() = 0;
  /// The number of this place, shared by all its handles; no other ever had it.
  std::uint64_t id() const noexcept { return id_; }

 protected:
  /// A place that does not share its caller's memory; `id`: of the place, for another handle to it. Continuations run
  /// on default_pool(), as they need not be able to leave this process.
  explicit executor(std::uint64_t id = new_executor_id()) : id_(id) {}
  /// For local_executor: `home`, known to home.hpp, is where continuations run.
  executor(std::uint64_t id, std::uint64_t home) : id_(id), home_(home) {}
  /// Takes a call to be run, and completed, whatever happens. Throws `closed` after shutdown.
  virtual void start(call work) = 0;

 private:
  friend class executor_access;
  const std::uint64_t id_;
  const std::uint64_t home_ = 0;
};

/// An executor with options; made by executor::with.
class executor_view : public portable_api<executor_view> {
 public:
  /// For executor::with.
  executor_view(executor& target, const call_options& options) noexcept : target_(&target), options_(options) {}

 private:
  friend class executor_access;
  executor* target_;
  call_options options_;
};

inline executor_view executor::with(call_options options) { return executor_view(*this, options); }

/// How the templates above and below reach an executor. For the library and for executors outside it.
class executor_access {
 public:
  static executor& target(executor& e) noexcept { return e; }
  static executor& target(executor_view& v) noexcept { return *v.target_; }
  template <class View>
    requires(!std::derived_from<View, executor>)
  static executor& target(View& v) noexcept {
    return v.target();
  }
  static call_options options(const executor&) noexcept { return {}; }
  static call_options options(const executor_view& v) noexcept { return v.options_; }
  template <class View>
    requires(!std::derived_from<View, executor>)
  static call_options options(const View& v) noexcept {
    return v.options();
  }
  static void start(executor& e, call work) { e.start(std::move(work)); }
  static std::uint64_t home(const executor& e) noexcept { return e.home_; }

  /// Makes a task of type Task and starts it.
  template <class Task, class... A>
  static auto launch(executor& e, const call_options& options, const char* name, A&&... arguments) {
    auto* task = new Task(e.home_, std::forward<A>(arguments)...);
    using state = future_state<typename task_value<Task>::type>;
    future<typename task_value<Task>::type> result{state_ref<state>(static_cast<state*>(task))};
    call work(task);
    try {
      task->configure(options, name);
      start(e, std::move(work));
    } catch (...) {
      result.state()->observe();  // the caller gets the exception instead
      throw;
    }
    return result;
  }

 private:
  template <class R, class Invoke>
  static R value_of(const task_state<R, Invoke>*);
  template <class Task>
  struct task_value {
    using type = decltype(value_of(static_cast<Task*>(nullptr)));
  };
};

/// The free form, for generic code: submit(pool, fn<f>, args...).
template <class Executor, portable_value Function, class... A>
auto submit(Executor& pool, Function, A&&... arguments) {
  return pool.template submit<Function{}>(std::forward<A>(arguments)...);
}

namespace detail {

template <auto F, bool Ordered, class Self, class R>
auto portable_map(Self& self, R&& range, const map_options& options) {
  using chunk = portable_chunk<F>;
  using args = typename chunk::args;
  executor& target = executor_access::target(self);
  return make_map<typename chunk::T, Ordered, R, args>(
      std::forward<R>(range), options, target.concurrency(), [](auto& at) { return chunk::make(*at); },
      [place = target.share(), how = kept_options(executor_access::options(self)), next = std::size_t{0}](
          std::vector<args> items, std::shared_ptr<chunk_gate> gate) mutable {
        const std::size_t first = std::exchange(next, next + items.size());
        return executor_access::launch<portable_chunk_task<F>>(
            *place, how.get(), portable_name<F>(),
            invoke_portable_chunk<F>{std::move(items), std::move(gate), how.get().retries, first});
      });
}

}  // namespace detail

template <class Self>
template <auto F, class... A>
auto portable_api<Self>::submit(A&&... arguments) -> future<typename function_traits<F>::result> {
  auto& self = static_cast<Self&>(*this);
  detail::check_retries<typename function_traits<F>::stored_args>(executor_access::options(self));
  if constexpr (is_task<typename function_traits<F>::raw_result>) {
    // Where memory is shared its coroutines wait without holding a thread.
    executor& target = executor_access::target(self);
    if (executor_access::home(target) != 0) {
      return submit_task_function<F>(target, executor_access::options(self), detail::portable_name<F>(),
                                     function_traits<F>::store(std::forward<A>(arguments)...));
    }
  }
  return executor_access::launch<detail::portable_task<F>>(
      executor_access::target(self), executor_access::options(self), detail::portable_name<F>(),
      detail::invoke_portable<F>{function_traits<F>::store(std::forward<A>(arguments)...)});
}

template <class Self>
template <auto F, std::ranges::input_range R>
auto portable_api<Self>::map(R&& range, map_options options) {
  return detail::portable_map<F, true>(static_cast<Self&>(*this), std::forward<R>(range), options);
}

template <class Self>
template <auto F, std::ranges::input_range R>
auto portable_api<Self>::map_unordered(R&& range, map_options options) {
  return detail::portable_map<F, false>(static_cast<Self&>(*this), std::forward<R>(range), options);
}

template <class Self>
template <auto F, std::ranges::input_range R>
auto portable_api<Self>::submit_bulk(R&& range, map_options options) {
  using chunk = detail::portable_chunk<F>;
  auto& self = static_cast<Self&>(*this);
  executor& target = executor_access::target(self);
  const call_options how = executor_access::options(self);
  return detail::run_bulk<typename function_traits<F>::result, typename chunk::args>(
      executor_access::home(target), target.concurrency(), options.chunk, std::forward<R>(range),
      [](auto& at) { return chunk::make(*at); },
      [&, next = std::size_t{0}](std::vector<typename chunk::args> items,
                                 std::shared_ptr<detail::chunk_gate> gate) mutable {
        const std::size_t first = std::exchange(next, next + items.size());
        return executor_access::launch<detail::portable_chunk_task<F>>(
            target, how, detail::portable_name<F>(),
            detail::invoke_portable_chunk<F>{std::move(items), std::move(gate), how.retries, first});
      });
}

}  // namespace tutti
