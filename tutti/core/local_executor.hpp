// local_executor: an executor that shares the caller's memory: takes any callable, and nothing is encoded or copied.
#pragma once
#include <tutti/core/executor.hpp>

namespace tutti {

namespace detail {

template <class G>
struct invoke_local {
  G function;
  decltype(auto) operator()(bool) { return function(); }
};

/// Calls `body(context)` in a frame of its own; exceptions go to on_unhandled.
void run_posted(const call_node& node, const task_values* values, void (*body)(void*), void* context) noexcept;

// A posted call: no future, freed when it has run.
template <class G>
class posted final : public call_node, public pooled {
 public:
  posted(G&& g, const call_options& options) : function_(std::move(g)) {
    name_ = intern(options.name);
    priority_ = options.priority;
  }
  void run() noexcept override {
    run_posted(*this, values_.get(), [](void* g) { (*static_cast<G*>(g))(); }, &function_);
    delete this;
  }
  void abandon(std::exception_ptr) noexcept override { delete this; }

 private:
  task_values_ref values_{task_values::current()};
  G function_;
};

// What the chunks of submit_bulk share. R is a reference for lvalues; other ranges are owned, as items may point into
// them.
template <class G, class R>
struct bulk_input {
  template <class F>
  bulk_input(F&& f, R&& r) : function(std::forward<F>(f)), range(std::forward<R>(r)) {}
  G function;
  R range;
};

// A chunk of map over a local callable. The callable is shared by all chunks.
template <class T, class G, class R>
struct invoke_local_chunk {
  using items_of = local_items<R>;
  std::shared_ptr<G> function;
  std::vector<typename items_of::item> items;
  std::shared_ptr<chunk_gate> gate;
  int retries;  // of each element
  chunk_result<T> operator()(bool) {
    return run_chunk<T>(
        items,
        [this](typename items_of::item& item) -> decltype(auto) { return call_with(*function, items_of::use(item)); },
        gate.get(), retries);
  }
};

}  // namespace detail

/// The calls that work where memory is shared: those of portable_api, without encoding, and callables of any kind.
template <class Self>
class local_api {
 public:
  /// Calls `g()` and delivers its result, or its exception, through the future. `g` is moved or copied in; move-only
  /// types are welcome. Never blocks. Throws `closed` after shutdown.
  template <class G>
    requires(!portable_value<G> && std::invocable<std::decay_t<G>&>)
  auto submit(G&& g) {
    using function = std::decay_t<G>;
    using R = typename function_result<std::invoke_result_t<function&>>::type;
    auto& self = static_cast<Self&>(*this);
    if constexpr (is_task<std::decay_t<std::invoke_result_t<function&>>>) {
      return submit_task_function(executor_access::target(self), executor_access::options(self),
                                  function(std::forward<G>(g)));
    } else
      return executor_access::launch<task_state<R, detail::invoke_local<function>>>(
          executor_access::target(self), executor_access::options(self), "",
          detail::invoke_local<function>{std::forward<G>(g)});
  }
  /// Starts a coroutine task here as a task of its own; see task. Throws std::logic_error when it is empty.
  template <class Task>
    requires is_task<Task>
  auto submit(Task work) {
    auto& self = static_cast<Self&>(*this);
    return submit_task(executor_access::target(self), executor_access::options(self), std::move(work));
  }
  /// Arguments travel with functions named at compile time only.
  template <class G, class A, class... More>
  void submit(G&&, A&&, More&&...) {
    static_assert(sizeof(G) == 0,
                  "tutti: submit(g) calls g without arguments: let a lambda capture them, or name the function: "
                  "submit<f>(args...)");
  }
  /// Calls F with the arguments, converted to its parameter types before submit returns. Types need not be encodable.
  template <auto F, class... A>
  auto submit(A&&... arguments) -> future<typename function_traits<F>::result> {
    using R = typename function_traits<F>::result;
    auto& self = static_cast<Self&>(*this);
    detail::check_retries<typename function_traits<F>::stored_args>(executor_access::options(self));
    if constexpr (is_task<typename function_traits<F>::raw_result>) {
      return submit_task_function<F>(executor_access::target(self), executor_access::options(self),
                                     detail::task_name<F>(), function_traits<F>::store(std::forward<A>(arguments)...));
    } else
      return executor_access::launch<task_state<R, detail::invoke_portable<F>>>(
          executor_access::target(self), executor_access::options(self), detail::task_name<F>(),
          detail::invoke_portable<F>{function_traits<F>::store(std::forward<A>(arguments)...)});
  }
  /// Calls `g()`, and tells nobody. An exception goes to on_unhandled, which by default terminates. The cheapest form.
  /// Of the options only name and priority count. Throws `closed` after shutdown.
  template <class G>
    requires std::invocable<std::decay_t<G>&>
  void post(G&& g) {
    static_assert(!is_task<std::decay_t<std::invoke_result_t<std::decay_t<G>&>>>,
                  "tutti: post(g): g returns a coroutine task, which post would only create: submit it, or spawn it in "
                  "a task_group");
    auto& self = static_cast<Self&>(*this);
    using node = detail::posted<std::decay_t<G>>;
    call work(new node(std::decay_t<G>(std::forward<G>(g)), executor_access::options(self)));
    executor_access::start(executor_access::target(self), std::move(work));
  }
  /// A task has a result or an error, which somebody should get.
  template <class Task>
    requires is_task<std::remove_cvref_t<Task>>
  void post(Task&&) {
    static_assert(sizeof(Task) == 0,
                  "tutti: post(task): nobody would learn how it ends: submit it, or spawn it in a task_group");
  }

  /// Calls `g` with each element of `range`, or with its parts if it is tuple-like, and gives the results in input
  /// order, lazily; see map_results. Elements of lvalue ranges are passed by reference.
  template <std::ranges::input_range R, class G>
  auto map(R&& range, G&& g, map_options options = {}) {
    return make_local_map<true>(std::forward<R>(range), std::forward<G>(g), options, "map");
  }
  /// The same in order of completion, as {index, value}.
  template <std::ranges::input_range R, class G>
  auto map_unordered(R&& range, G&& g, map_options options = {}) {
    return make_local_map<false>(std::forward<R>(range), std::forward<G>(g), options, "map");
  }
  /// The same with a function named at compile time.
  template <auto F, std::ranges::input_range R>
  auto map(R&& range, map_options options = {}) {
    return make_local_map<true>(std::forward<R>(range), function_traits<F>::pointer, options, detail::task_name<F>());
  }
  /// The same in order of completion, as {index, value}.
  template <auto F, std::ranges::input_range R>
  auto map_unordered(R&& range, map_options options = {}) {
    return make_local_map<false>(std::forward<R>(range), function_traits<F>::pointer, options, detail::task_name<F>());
  }
  /// Calls `g` with each element and delivers all results at once, or the first error in input order. Elements of
  /// lvalue ranges, and of views of them, are passed by reference and must live until then; other rvalue ranges are
  /// owned. Cancelling it stops between elements; it is done when nothing touches the range any more.
  template <std::ranges::input_range R, class G>
  auto submit_bulk(R&& range, G&& g, map_options options = {}) {
    return make_local_bulk(std::forward<R>(range), std::forward<G>(g), options, "submit_bulk");
  }
  /// The same with a function named at compile time.
  template <auto F, std::ranges::input_range R>
  auto submit_bulk(R&& range, map_options options = {}) {
    return make_local_bulk(std::forward<R>(range), function_traits<F>::pointer, options, detail::task_name<F>());
  }

 private:
  template <class R, class G>
  auto make_local_bulk(R&& range, G&& g, const map_options& options, const char* name) {
    using function = std::decay_t<G>;
    using items = detail::local_items<R>;
    using T = detail::local_map_value<function, R>;
    using result = std::conditional_t<std::is_same_v<T, std::monostate>, void, T>;
    using kept = detail::bulk_input<function, R>;
    auto& self = static_cast<Self&>(*this);
    executor& target = executor_access::target(self);
    const call_options how = executor_access::options(self);
    const auto input = std::make_shared<kept>(std::forward<G>(g), std::forward<R>(range));
    return detail::run_bulk<result, typename items::item>(
        executor_access::home(target), target.concurrency(), options.chunk, input->range,
        [](auto& at) { return items::make(at); },
        [&](std::vector<typename items::item> chunk, std::shared_ptr<detail::chunk_gate> gate) {
          using invoke = detail::invoke_local_chunk<T, function, R>;
          return executor_access::launch<task_state<detail::chunk_result<T>, invoke>>(
              target, how, name, invoke{{input, &input->function}, std::move(chunk), std::move(gate), how.retries});
        });
  }
  template <bool Ordered, class R, class G>
  auto make_local_map(R&& range, G&& g, const map_options& options, const char* name) {
    using function = std::decay_t<G>;
    using items = detail::local_items<R>;
    using T = detail::local_map_value<function, R>;
    auto& self = static_cast<Self&>(*this);
    executor& target = executor_access::target(self);
    return detail::make_map<T, Ordered, R, typename items::item>(
        std::forward<R>(range), options, target.concurrency(), [](auto& at) { return items::make(at); },
        [place = target.share(), how = detail::kept_options(executor_access::options(self)), name,
         shared = std::make_shared<function>(std::forward<G>(g))](std::vector<typename items::item> chunk,
                                                                  std::shared_ptr<detail::chunk_gate> gate) {
          using invoke = detail::invoke_local_chunk<T, function, R>;
          return executor_access::launch<task_state<detail::chunk_result<T>, invoke>>(
              *place, how.get(), name, invoke{shared, std::move(chunk), std::move(gate), how.get().retries});
        });
  }
};

class local_executor_view;

/// An executor whose calls run in this process. Thread-safe.
class local_executor : public executor, public local_api<local_executor> {
 public:
  using local_api<local_executor>::submit;
  using local_api<local_executor>::map;
  using local_api<local_executor>::map_unordered;
  using local_api<local_executor>::submit_bulk;

  /// The same executor with options: `pool.with({.name = "load", .priority = 1}).submit([] {...})`. Use the view at
  /// once.
  local_executor_view with(call_options options);

 protected:
  /// `id` is known to home.hpp: continuations run here.
  explicit local_executor(std::uint64_t id) : executor(id, id) {}
  /// Continuations run at `home`, which is known to home.hpp.
  local_executor(std::uint64_t id, std::uint64_t home) : executor(id, home) {}
};

/// A local executor with options; made by local_executor::with.
class local_executor_view : public local_api<local_executor_view> {
 public:
  /// For local_executor::with.
  local_executor_view(local_executor& target, const call_options& options) noexcept
      : target_(&target), options_(options) {}

 private:
  friend class executor_access;
  local_executor& target() noexcept { return *target_; }
  call_options options() const noexcept { return options_; }
  local_executor* target_;
  call_options options_;
};

inline local_executor_view local_executor::with(call_options options) { return local_executor_view(*this, options); }

}  // namespace tutti
