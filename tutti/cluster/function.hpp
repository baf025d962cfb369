// function: a C++ function as a task of the fleet: called here by name and type, run by whoever has it.
#pragma once
#include <tutti/base/registry.hpp>
#include <tutti/cluster/arguments.hpp>
#include <tutti/cluster/async_result.hpp>
#include <tutti/cluster/send.hpp>
#include <tutti/cluster/signature.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/task_shape.hpp>
#include <tutti/task/sync_wait.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// Tells exceptions that are (derived from) E: `.retry_on = {tutti::cluster::on<my::error>}`.
template <class E>
[[nodiscard]] bool on(const std::exception& thrown) noexcept {
  return dynamic_cast<const E*>(&thrown) != nullptr;
}

/// Values for a task's last parameters, which messages may then leave out: `.defaults = tutti::cluster::defaults(3,
/// "x")`.
template <class... T>
[[nodiscard]] std::vector<std::string> defaults(const T&... values) {
  static_assert(!(detail::is_keyword<T> || ...), "tutti: defaults are given by position, for the last parameters");
  return detail::encode_arguments(values...).args;
}

namespace detail {

// A parameter: how arguments become JSON of its type, and JSON a value.
template <class Pointer>
struct parameters_of;
template <class R, class... P>
struct parameters_of<R (*)(P...) noexcept> : parameters_of<R (*)(P...)> {};
template <class R, class... P>
struct parameters_of<R (*)(P...)> {
  [[nodiscard]] static std::vector<std::string> type_names() {
    return {shown_type<typename tutti::detail::stored_parameter<P>::type>()...};
  }

  // Arguments by position for the first parameters, then those by name.
  template <class... A>
  [[nodiscard]] static call_arguments encode(A&&... arguments) {
    static_assert(keywords_are_last<std::remove_cvref_t<A>...>(),
                  "tutti: arguments by name, kw(\"b\", 3), stand behind those by position");
    static_assert(sizeof...(A) <= sizeof...(P), "tutti: too many arguments for this task");
    call_arguments all;
    if constexpr (keywords_are_last<std::remove_cvref_t<A>...>() && sizeof...(A) <= sizeof...(P)) {
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        (add<std::tuple_element_t<I, std::tuple<P...>>>(all, std::forward<A>(arguments)), ...);
      }(std::index_sequence_for<A...>());
    }
    return all;
  }

 private:
  // Given by name, or for `Parameter`.
  template <class Parameter, class A>
  static void add(call_arguments& to, A&& argument) {
    using stored = tutti::detail::stored_parameter<Parameter>;
    if constexpr (is_keyword<std::remove_cvref_t<A>>) {
      add_argument(to, argument);
    } else {
      constexpr bool fits = stored::template accepts<A>;
      static_assert(fits, "tutti: an argument does not convert implicitly to the parameter's type");
      if constexpr (fits) {
        const std::tuple<typename stored::type> value(stored::make(std::forward<A>(argument)));
        to.args.push_back(encode_json(std::get<0>(value)));
      }
    }
  }
};

// Runs F with the arguments of a message. One type for each F: so equal registrations are told.
template <auto F>
struct task_runner {
  using traits = function_traits<F>;
  std::shared_ptr<const task_shape> shape;

  std::string operator()(std::string_view args, std::string_view kwargs) const {
    auto stored = decode_all(bound_arguments(*shape, args, kwargs), indices());
    using raw = typename traits::raw_result;
    if constexpr (std::is_void_v<typename traits::result>) {
      if constexpr (std::is_void_v<raw>) {
        traits::call(stored);
      } else {
        function_result<raw>::get(traits::call(stored));
      }
      return "null";
    } else {
      return to_json(function_result<raw>::get(traits::call(stored)));
    }
  }

  /// Throws argument_error for arguments that do not fit, or are missing.
  void check(const call_arguments& given) const { (void)decode_all(bound_arguments(*shape, given), indices()); }
  /// The same for defaults.
  void check_defaults() const {
    const bound_arguments bound(*shape);
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((bound.has(I) ? (void)decode_one<I>(bound) : void()), ...);
    }(indices());
  }

 private:
  using stored_args = typename traits::stored_args;
  using indices = std::make_index_sequence<traits::arity>;

  template <std::size_t... I>
  static stored_args decode_all(const bound_arguments& bound, std::index_sequence<I...>) {
    return stored_args{decode_one<I>(bound)...};  // braced, so from left to right
  }
  template <std::size_t I>
  static auto decode_one(const bound_arguments& bound) {
    using T = std::tuple_element_t<I, stored_args>;
    (void)tutti::detail::check_encodable<true, T, tutti::detail::json_codec>();
    try {
      T value = T();
      tutti::detail::json_input_archive<cereal::access>::get(bound[I], value);
      return value;
    } catch (const decode_error& e) {
      bound.fail(I, e.what());
    }
  }
};

}  // namespace detail

/// A portable function as a task. Its parameters and its result can be JSON; see encode_json. While it lives, workers
/// of this program run the task: so it is mostly a constant of a namespace, in the source file or a header that clients
/// and workers share:
///
///     const tutti::cluster::function add{tutti::fn<calc::add>, {.name = "tasks.add", .params = {"a", "b"}}};
///     auto sum = add.delay(2, 3);
///     sum.get(5s);
///
/// A coroutine's task<T> is awaited; void is null. Thread-safe.
template <auto F>
class function {
  using traits = function_traits<F>;
  using parameters = detail::parameters_of<std::remove_cv_t<decltype(traits::pointer)>>;

 public:
  using result_type = typename traits::result;

  /// Registers it. Throws ambiguous_function when another function has the name, std::invalid_argument for options
  /// that make no sense.
  explicit function(fn_t<F> /*what*/, task_settings options = {}) : function(std::move(options)) {}
  template <fixed_string Name, auto G>
    requires std::same_as<std::remove_cv_t<decltype(F)>, named_t<Name, G>>
  explicit function(named_t<Name, G> /*what*/, task_settings options = {}) : function(std::move(options)) {}

  /// Its name in messages.
  [[nodiscard]] const std::string& name() const noexcept { return runner_.shape->name; }

  /// Calls it here, now, as any function.
  template <class... A>
  decltype(auto) operator()(A&&... arguments) const {
    return traits::pointer(std::forward<A>(arguments)...);
  }

  /// Sends it. Arguments convert to its parameters' types; later ones may be given by name, kw("b", 3), or left out
  /// when they have defaults. Blocks for a round trip to the broker. Throws broker_error when it does not take the
  /// message, argument_error for arguments that are missing or do not fit.
  template <class... A>
  async_result<result_type> delay(A&&... arguments) const {
    return apply_async({}, std::forward<A>(arguments)...);
  }
  /// The same with options for this call. Throws std::invalid_argument too.
  template <class... A>
  async_result<result_type> apply_async(const send_options& options, A&&... arguments) const {
    const app where = detail::app_for(options);
    task_message message =
        detail::make_message(where, name(), checked(std::forward<A>(arguments)...), options, &settings_);
    detail::send_message(where, message);
    return result_access::task<result_type>(where, std::move(message.id), std::move(message.task),
                                            message.ignore_result);
  }

  /// The call as a signature, which may lack the first parameters that a chain gives it. Only when it has all of them
  /// it is known here which argument is for which: then they convert as those of delay().
  template <class... A>
  [[nodiscard]] signature s(const A&... arguments) const {
    if constexpr (sizeof...(A) < traits::arity) {
      return signature(name(), arguments...);
    } else {
      return signature(name(), checked(arguments...));
    }
  }
  /// The call as a signature that takes nothing of what runs before it.
  template <class... A>
  [[nodiscard]] signature si(A&&... arguments) const {
    return signature(name(), checked(std::forward<A>(arguments)...)).immutable();
  }

 private:
  explicit function(task_settings&& options)
      : runner_{std::make_shared<const detail::task_shape>(
            detail::make_shape(identity<F>().name, options, parameters::type_names()))},
        settings_(detail::checked_settings(*runner_.shape, std::move(options))),
        registration_((runner_.check_defaults(),
                       registered_task{settings_, runner_.shape->text(), runner_,
                                       detail::library_of(reinterpret_cast<const void*>(traits::pointer))})) {}

  template <class... A>
  [[nodiscard]] detail::call_arguments checked(A&&... arguments) const {
    auto all = parameters::encode(std::forward<A>(arguments)...);
    // What has no type here, or is not there, only shows when it is read.
    if (all.args.size() != traits::arity) runner_.check(all);
    return all;
  }

  detail::task_runner<F> runner_;
  task_settings settings_;
  task_registration registration_;
};

template <auto F>
function(fn_t<F>, task_settings) -> function<F>;
template <auto F>
function(fn_t<F>) -> function<F>;
template <fixed_string Name, auto F>
function(named_t<Name, F>, task_settings) -> function<named_t<Name, F>{}>;
template <fixed_string Name, auto F>
function(named_t<Name, F>) -> function<named_t<Name, F>{}>;

}  // namespace tutti::cluster
