// place: where in the source something happened, captured for free by a default argument.
#pragma once
#include <string>

namespace tutti {

/// A source position. Trivially copyable; the strings are literals that live as long as their library.
struct place {
  const char* file = "";
  unsigned line = 0;
  const char* function = "";

  /// The caller's position, when used as a default argument: `void wait(place here = place::current())`.
  static constexpr place current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE(),
                                 const char* function = __builtin_FUNCTION()) noexcept {
    return {file, line, function};
  }
};

/// "file:line (function)"; parts that are not known are left out.
inline std::string to_string(const place& where) {
  std::string text = where.file;
  if (where.line != 0) text += ':' + std::to_string(where.line);
  if (where.function[0] != '\0') {
    text += " (";
    text += where.function;
    text += ')';
  }
  return text;
}

}  // namespace tutti
