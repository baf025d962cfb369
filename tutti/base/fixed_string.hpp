// fixed_string: text as a template argument.
#pragma once
#include <cstddef>
#include <string_view>

namespace tutti {

/// A structural string of `N - 1` characters, deduced from a literal: `template <fixed_string Name> struct x;`.
template <std::size_t N>
struct fixed_string {
  char text[N]{};  // public, because a structural type has no private members

  /// Copies the literal, its end included.
  consteval fixed_string(const char (&literal)[N]) {  // NOLINT(google-explicit-constructor): deduced from a literal
    for (std::size_t i = 0; i < N; ++i) text[i] = literal[i];
  }

  /// The text without the closing zero.
  [[nodiscard]] constexpr std::string_view view() const noexcept { return {text, N - 1}; }
};

}  // namespace tutti
