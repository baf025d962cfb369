// demangle: names of types as a person writes them.
#pragma once
#include <string>
#include <typeinfo>

namespace tutti {

/// The readable form of a mangled name; the name itself when it is not one. Thread-safe.
[[nodiscard]] std::string demangle(const char* mangled);

/// The readable name of a type, the same on g++ and clang.
template <class T>
[[nodiscard]] std::string type_name() {
  return demangle(typeid(T).name());
}

}  // namespace tutti
