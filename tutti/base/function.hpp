// function: what is known of a portable function at compile time: its parameters as values, its result, its identity.
#pragma once
#include <tutti/base/fixed_string.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace tutti {

/// A portable function under an explicit name; made by `named`.
template <fixed_string Name, auto F>
struct named_t {
  /// The function itself.
  static constexpr auto function = F;
  /// The name that goes over the wire.
  static constexpr std::string_view name() noexcept { return Name.view(); }
};

/// Gives `F` a name of its own, wherever a portable function is wanted: `pool->submit<named<"calc.add", add<int>>>(2,
/// 3)`. For what has no name that another process could find: instances of templates, lambdas without captures,
/// overloads (behind a cast), functions in unnamed namespaces.
template <fixed_string Name, auto F>
inline constexpr named_t<Name, F> named{};

template <auto F>
struct fn_t;  // registry.hpp

/// True for coroutine task types; their module specialises it.
template <class T>
inline constexpr bool is_task = false;

/// What a result of type `R` is turned into; specialised for results that stand for another, such as tasks.
template <class R>
struct function_result {
  using type = std::decay_t<R>;
  /// The result, for who cannot wait in any other way than by blocking.
  static constexpr R get(R&& result) { return static_cast<R&&>(result); }
};
template <class R>
  requires std::is_void_v<R>
struct function_result<R> {
  using type = void;
};

namespace detail {

template <class T>
inline constexpr bool is_named = false;
template <fixed_string Name, auto F>
inline constexpr bool is_named<named_t<Name, F>> = true;
template <class T>
inline constexpr bool is_fn = false;
template <auto F>
inline constexpr bool is_fn<fn_t<F>> = true;

// The plain function pointer behind a pointer, fn<f>, named<"x", f> or a lambda without captures.
template <auto F>
constexpr auto function_pointer() {
  using T = std::remove_cvref_t<decltype(F)>;
  if constexpr (std::is_pointer_v<T> && std::is_function_v<std::remove_pointer_t<T>>) {
    return F;
  } else if constexpr (is_named<T> || is_fn<T>) {
    return function_pointer<T::function>();
  } else if constexpr (std::is_class_v<T>) {
    static_assert(
        requires { +F; }, "tutti: this object is not a function: name a function or a lambda without captures");
    return +F;
  } else {
    static_assert(std::is_class_v<T>,
                  "tutti: not a function: a portable function is a free function or a static member function");
  }
}

template <class T>
inline constexpr bool is_mutable_span = false;
template <class T, std::size_t N>
inline constexpr bool is_mutable_span<std::span<T, N>> = !std::is_const_v<T>;

// How a parameter of type P is kept until the call: `type`, made from an argument by make(), handed over by pass().
// `P` is a value, a const reference or an rvalue reference.
template <class P, class Bare = std::remove_cvref_t<P>>
struct stored_parameter {
  static_assert(!std::is_lvalue_reference_v<P> || std::is_const_v<std::remove_reference_t<P>>,
                "tutti: a portable function cannot take T&: it would change a copy, and the change would be lost; "
                "take T or const T& and return the result");
  static_assert(!std::is_pointer_v<Bare>,
                "tutti: a portable function cannot take a pointer: an address means nothing in another process; "
                "take a value, std::string_view or std::span<const T>");
  static_assert(!is_mutable_span<Bare>,
                "tutti: a portable function cannot take std::span<T> of non-const T: it would write to a copy; "
                "take std::span<const T> and return the result");
  using type = Bare;
  template <class A>
  static constexpr bool accepts = std::is_convertible_v<A, type>;
  template <class A>
  static constexpr decltype(auto) make(A&& argument) {
    return std::forward<A>(argument);
  }
  static constexpr decltype(auto) pass(type& value) noexcept {
    if constexpr (std::is_lvalue_reference_v<P>) {
      return static_cast<P>(value);
    } else {
      return static_cast<type&&>(value);
    }
  }
};

template <class P, class C, class Traits>
struct stored_parameter<P, std::basic_string_view<C, Traits>> {
  using type = std::basic_string<C, Traits>;
  using view = std::basic_string_view<C, Traits>;
  template <class A>
  static constexpr bool accepts = std::is_convertible_v<A, type> || std::is_convertible_v<A, view>;
  template <class A>
  static constexpr type make(A&& argument) {
    if constexpr (std::is_convertible_v<A, type>) {
      return std::forward<A>(argument);
    } else {
      return type(static_cast<view>(std::forward<A>(argument)));
    }
  }
  static constexpr view pass(type& value) noexcept { return value; }
};

template <class P, class T, std::size_t N>
struct stored_parameter<P, std::span<const T, N>> {
  static_assert(!std::is_same_v<T, bool> || N != std::dynamic_extent,
                "tutti: a portable function cannot take std::span<const bool>: std::vector<bool> has no bools to show; "
                "take const std::vector<bool>&");
  using view = std::span<const T, N>;
  using type =
      std::conditional_t<N == std::dynamic_extent, std::vector<T>, std::array<T, N == std::dynamic_extent ? 0 : N>>;
  template <class A>
  static constexpr bool accepts = std::is_convertible_v<A, type> || std::is_convertible_v<A, view>;
  template <class A>
  static constexpr type make(A&& argument) {
    if constexpr (std::is_convertible_v<A, type>) {
      return std::forward<A>(argument);
    } else if constexpr (N == std::dynamic_extent) {
      const view elements = std::forward<A>(argument);
      return type(elements.begin(), elements.end());
    } else {
      const view elements = std::forward<A>(argument);
      return [&]<std::size_t... I>(std::index_sequence<I...>) {
        return type{elements[I]...};
      }(std::make_index_sequence<N>());
    }
  }
  static constexpr view pass(type& value) noexcept { return view(value.data(), value.size()); }
};

// A named object of a type that cannot be copied.
template <class P, class A>
inline constexpr bool wants_a_move = std::is_lvalue_reference_v<A> && !stored_parameter<P>::template accepts<A> &&
                                     stored_parameter<P>::template accepts<std::remove_reference_t<A>>;

template <class Pointer>
struct signature_of;
template <class R, class... P>
struct signature_of<R (*)(P...) noexcept> : signature_of<R (*)(P...)> {};
template <class R, class... P>
struct signature_of<R (*)(P...)> {
  using stored_args = std::tuple<typename stored_parameter<P>::type...>;
  using raw_result = R;
  static constexpr std::size_t arity = sizeof...(P);

  template <class... A>
  static constexpr stored_args store(A&&... arguments) {
    static_assert(sizeof...(A) == sizeof...(P),
                  "tutti: wrong number of arguments (default arguments do not travel: give them all)");
    if constexpr (sizeof...(A) == sizeof...(P)) {
      static_assert(!(wants_a_move<P, A> || ...),
                    "tutti: an argument can only be moved, and this call would copy it: give it away with std::move");
      constexpr bool all_fit = (stored_parameter<P>::template accepts<A> && ...);
      static_assert(all_fit || (wants_a_move<P, A> || ...),
                    "tutti: an argument does not convert implicitly to the parameter's type");
      if constexpr (all_fit) return stored_args(stored_parameter<P>::make(std::forward<A>(arguments))...);
    }
  }

  static constexpr R call(R (*function)(P...), stored_args& arguments) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) -> R {
      return function(stored_parameter<P>::pass(std::get<I>(arguments))...);
    }(std::index_sequence_for<P...>());
  }
};

}  // namespace detail

/// The compile-time view of a portable function `F`: a function, `named<"x", f>` or `fn<f>`.
/// A static_assert tells why when a parameter cannot be portable.
template <auto F>
struct function_traits {
  /// The plain function pointer.
  static constexpr auto pointer = detail::function_pointer<F>();
  using signature = detail::signature_of<std::remove_cv_t<decltype(pointer)>>;
  /// The parameters as values: T, const T&, T&& -> T; string_view -> string; span<const T> -> vector<T>.
  using stored_args = typename signature::stored_args;
  /// What the function returns, as declared.
  using raw_result = typename signature::raw_result;
  /// What the caller gets: the result, decayed.
  using result = typename function_result<raw_result>::type;
  static constexpr std::size_t arity = signature::arity;

  /// Converts the arguments, implicitly, to what is stored.
  template <class... A>
  static constexpr stored_args store(A&&... arguments) {
    return signature::store(std::forward<A>(arguments)...);
  }
  /// Calls the function; values and rvalue references are moved out of `arguments`.
  static constexpr raw_result call(stored_args& arguments) { return signature::call(pointer, arguments); }
  static constexpr raw_result call(stored_args&& arguments) { return signature::call(pointer, arguments); }
};

/// True for types `T` that `function_traits` understands as a value: a function pointer, named_t, fn_t.
template <class T>
concept portable_value = detail::is_named<std::remove_cvref_t<T>> || detail::is_fn<std::remove_cvref_t<T>>;

/// How a portable function is called between processes. Equal on g++ and clang, and in every build of the same source.
struct function_identity {
  /// The qualified name, for example "calc::add", or the one given by `named`. Ends with a zero byte, which it does not
  /// count. Lives for ever.
  std::string_view name;
  /// A hash of the stored parameter types: both sides must agree on them.
  std::uint64_t signature = 0;

  friend bool operator==(const function_identity&, const function_identity&) = default;
};

namespace detail {

// Mentions F in a type, so that typeid spells it; the Itanium ABI makes that the same text on both compilers, which
// __PRETTY_FUNCTION__ is not (clang drops inline namespaces and template arguments, and both spell types differently).
template <auto F>
struct function_tag {};

[[nodiscard]] function_identity make_identity(const std::type_info& function, const std::type_info& arguments);
[[nodiscard]] std::uint64_t hash_text(std::string_view text) noexcept;

template <auto F>
consteval std::string_view spelling() {
  std::string_view text = __PRETTY_FUNCTION__;  // "... [with auto F = ns::f; ...]" or "... [F = &ns::f]"
  text.remove_prefix(text.find("F = ") + 4);
  return text.substr(0, text.find_first_of(";]"));
}

template <auto F>
consteval void check_identity() {
  using T = std::remove_cvref_t<decltype(F)>;
  static_assert(!std::is_class_v<T>,
                "tutti: a lambda has no name that another process could find: give it one, named<\"my.name\", f>");
  if constexpr (!std::is_class_v<T>) {
    constexpr std::string_view name = spelling<F>();
    constexpr bool is_local = name.find("nonymous") != name.npos || name.find("()") != name.npos;
    static_assert(!is_local,
                  "tutti: a function in an unnamed namespace or a local class has no name that another process could "
                  "find: give it one, named<\"my.name\", f>");
    static_assert(is_local || name.find('<') == name.npos,
                  "tutti: an instance of a template has no name that another process could find: give it one, "
                  "named<\"my.name\", f<int>>");
  }
}

template <auto F>
[[nodiscard]] function_identity compute_identity() {
  using T = std::remove_cvref_t<decltype(F)>;
  if constexpr (is_fn<T>) {
    return compute_identity<T::function>();
  } else if constexpr (is_named<T>) {
    return {T::name(), hash_text(typeid(typename function_traits<F>::stored_args).name())};
  } else {
    check_identity<F>();
    return make_identity(typeid(function_tag<F>), typeid(typename function_traits<F>::stored_args));
  }
}

template <auto F>
struct identity_at_start;

}  // namespace detail

/// The identity of `F`, computed once. A static_assert says so when `F` has none and needs `named`. (clang-19 cannot
/// see that a function is an instance of a template; it then gets the instance's full name.)
// Hidden, because a shared static would keep a library from being unloaded.
template <auto F>
[[nodiscard, gnu::visibility("hidden")]] const function_identity& identity() {
  (void)&detail::identity_at_start<F>::done;
  static const function_identity value = detail::compute_identity<F>();
  return value;
}

namespace detail {
// Computing it takes a lock: see at_fork.hpp.
template <auto F>
struct [[gnu::visibility("hidden")]] identity_at_start {
  static inline const bool done = (static_cast<void>(identity<F>()), true);
};
}  // namespace detail

}  // namespace tutti
