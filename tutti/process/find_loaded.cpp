#include <tutti/process/find_loaded.hpp>

#include <tutti/base/error.hpp>

#include <dlfcn.h>

namespace tutti::detail {

const function_info& find_loaded(std::string_view name, std::uint64_t signature, const std::string& library) {
  try {
    return find_function(name, signature);
  } catch (const not_registered&) {
    if (library.empty() || ::dlopen(library.c_str(), RTLD_NOW) == nullptr) throw;
    return find_function(name, signature);
  }
}

}  // namespace tutti::detail
