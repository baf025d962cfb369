// find_loaded: a portable function by name, in a library that may have to be loaded first.
#pragma once
#include <tutti/base/registry.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace tutti::detail {

/// find_function; if the function is not there, after loading `library`, which the program may have loaded after its
/// launcher was started. Throws not_registered.
[[nodiscard]] const function_info& find_loaded(std::string_view name, std::uint64_t signature,
                                               const std::string& library);

}  // namespace tutti::detail
