// exception_codec: exceptions to bytes and back, so that what a worker throws is what the caller catches.
#pragma once
#include <tutti/base/codec.hpp>
#include <tutti/base/demangle.hpp>

#include <concepts>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>

namespace tutti {

/// What is being thrown, as bytes: the standard's exceptions, ours and registered ones as themselves, with what they
/// nest (std::throw_with_nested); all others become a remote_error, whatever they are. For these `stack`, unless null,
/// is asked where it happened (throw_stack), for remote_error::stack. Throws std::invalid_argument for null.
/// Thread-safe.
[[nodiscard]] std::string encode_exception(const std::exception_ptr& failure, std::string (*stack)() = nullptr);

/// The exception that `bytes` are; a remote_error if its type cannot be made here. Throws decode_error. Thread-safe.
[[nodiscard]] std::exception_ptr decode_exception(std::string_view bytes);

namespace detail {

struct exception_entry {
  std::string name;  // the type, the same on both sides
  // The extra data of an exception that is (derived from) the type. Throws what it likes.
  std::string (*encode)(const std::exception_ptr& failure) = nullptr;
  // The exception again; `inner` is what it nests, or null. Throws decode_error.
  std::exception_ptr (*decode)(std::string_view data, const std::exception_ptr& inner) = nullptr;
};

void register_exception_type(const std::type_info& type, exception_entry entry);

template <class E>
std::exception_ptr make_nesting(const E& exception, const std::exception_ptr& inner) {
  if constexpr (std::is_class_v<E> && !std::is_final_v<E> && !std::is_base_of_v<std::nested_exception, E>) {
    if (inner) {
      try {
        try {
          std::rethrow_exception(inner);
        } catch (...) {
          std::throw_with_nested(exception);
        }
      } catch (...) {
        return std::current_exception();
      }
    }
  }
  return std::make_exception_ptr(exception);
}

// Runs `use` on the exception as an E; `failure` must be one.
template <class E, class Use>
auto as_exception(const std::exception_ptr& failure, Use use) {
  try {
    std::rethrow_exception(failure);
  } catch (const E& exception) {
    return use(exception);
  }
}

template <class E>
concept made_from_what = std::constructible_from<E, std::string> && requires(const E& e) {
  { e.what() } -> std::convertible_to<std::string>;
};

}  // namespace detail

/// Lets exceptions of exactly type `E` cross process boundaries as themselves. `E` is encodable, for example by its own
/// `serialize`, or else made from a std::string that its what() gives back. Call it on both sides, before any throws:
/// `const bool known = tutti::register_exception<my::parse_failure>();`. Always true. Thread-safe.
template <class E>
bool register_exception() {
  static_assert(encodable<E> || detail::made_from_what<E>,
                "tutti: this exception can neither be encoded (give it a default constructor and `template <class "
                "Archive> void serialize(Archive& ar)`) nor be made from a std::string, its what()");
  detail::exception_entry entry;
  entry.name = type_name<E>();
  if constexpr (encodable<E>) {
    entry.encode = [](const std::exception_ptr& failure) {
      return detail::as_exception<E>(failure, [](const E& e) { return encode(e); });
    };
    entry.decode = [](std::string_view data, const std::exception_ptr& inner) {
      return detail::make_nesting(decode<E>(data), inner);
    };
  } else {
    entry.encode = [](const std::exception_ptr& failure) {
      return detail::as_exception<E>(failure, [](const E& e) { return encode(std::string(e.what())); });
    };
    entry.decode = [](std::string_view data, const std::exception_ptr& inner) {
      return detail::make_nesting(E(decode<std::string>(data)), inner);
    };
  }
  detail::register_exception_type(typeid(E), std::move(entry));
  return true;
}

}  // namespace tutti
