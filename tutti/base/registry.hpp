// registry: portable functions by name, in every library of the program, loaded late or early.
#pragma once
#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/function.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

/// All that is known of a registered function. Valid until its library is unloaded.
struct function_info {
  /// The identity, as in function_identity.
  std::string_view name;
  std::uint64_t signature = 0;
  /// Path of the library or program that registered it.
  const char* library = "";
  /// Where the function is in memory.
  void* address = nullptr;
  /// Decodes the arguments (a tuple, `stored_args`), calls the function and appends its encoded result to `result`;
  /// nothing for void. Throws decode_error for bad arguments, and what the function throws.
  void (*invoke)(std::string_view arguments, std::string& result) = nullptr;
};

/// The function with that name. Throws not_registered (with names that are near) and ambiguous_function when the name
/// stands for several functions: two addresses in one library, or other parameters in another library. When libraries
/// hold a copy each, the program's own wins, then the one loaded first. Thread-safe.
[[nodiscard]] const function_info& find_function(std::string_view name);

/// The same, among those with this signature: another one is not_registered, and says that the parameters differ.
[[nodiscard]] const function_info& find_function(std::string_view name, std::uint64_t signature);

/// Everything registered at the moment, by name. Thread-safe.
[[nodiscard]] std::vector<const function_info*> registered_functions();

namespace detail {

template <auto F>
void invoke_encoded(std::string_view arguments, std::string& result) {
  using traits = function_traits<F>;
  auto stored = decode<typename traits::stored_args>(arguments);
  if constexpr (std::is_void_v<typename traits::raw_result>) {
    traits::call(stored);
  } else {
    const typename traits::result value = function_result<typename traits::raw_result>::get(traits::call(stored));
    encode(result, value);
  }
}

// Everything that crosses the boundary can be encoded.
template <auto F>
inline constexpr bool has_encodable_signature =
    encodable<typename function_traits<F>::stored_args> &&
    (std::is_void_v<typename function_traits<F>::result> || encodable<typename function_traits<F>::result>);

// Enters a function for as long as its library is loaded.
class function_registration {
 public:
  function_registration(const function_identity& identity, void* address,
                        void (*invoke)(std::string_view, std::string&));
  ~function_registration();
  function_registration(const function_registration&) = delete;
  function_registration& operator=(const function_registration&) = delete;

  function_info info;
};

template <auto F>
struct registered_at_start;

}  // namespace detail

/// The registration of `F`; mentioning it anywhere registers `F` when the program starts or the library is loaded. A
/// static_assert says why when a parameter or the result cannot be encoded.
// Hidden, so that every library has its own: a shared one would also keep its library from being unloaded.
template <auto F>
[[nodiscard, gnu::visibility("hidden")]] const function_info& function_of() {
  using traits = function_traits<F>;
  (void)detail::check_encodable<true, typename traits::stored_args, detail::binary_codec>();
  if constexpr (!std::is_void_v<typename traits::result>) {
    (void)detail::check_encodable<true, typename traits::result, detail::binary_codec>();
  }
  (void)&detail::registered_at_start<F>::done;
  static const detail::function_registration entry(identity<F>(), reinterpret_cast<void*>(traits::pointer),
                                                   &detail::invoke_encoded<F>);
  return entry.info;
}

namespace detail {
template <auto F>
struct [[gnu::visibility("hidden")]] registered_at_start {
  static inline const bool done = (static_cast<void>(function_of<F>()), true);
};
}  // namespace detail

/// A portable function as a value: `submit(pool, fn<count_words>, "a.txt")`. Calls `F` when called.
template <auto F>
struct fn_t {
  /// The function itself.
  static constexpr auto function = F;

  /// Mentioning `fn<F>` registers F, when its parameters and result can be encoded.
  constexpr fn_t() noexcept {
    if constexpr (detail::has_encodable_signature<F>) (void)&detail::registered_at_start<F>::done;
  }
  /// Calls it here, now.
  template <class... A>
  constexpr decltype(auto) operator()(A&&... arguments) const {
    return detail::function_pointer<F>()(std::forward<A>(arguments)...);
  }
};

/// A portable function as a value.
template <auto F>
inline constexpr fn_t<F> fn{};

}  // namespace tutti
