// demangle: through the C++ ABI.
#include <cxxabi.h>
#include <tutti/base/demangle.hpp>

#include <cstdlib>
#include <memory>

namespace tutti {

std::string demangle(const char* mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(mangled, nullptr, nullptr, &status), std::free);
  return status == 0 && text ? text.get() : mangled;
}

}  // namespace tutti
