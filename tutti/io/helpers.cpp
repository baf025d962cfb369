#include <tutti/io/helpers.hpp>

namespace tutti::io::detail {

local_executor& helpers() {
  // Leaked: a name server that does not answer must not hold up the program's end.
  static thread_pool& pool = *new thread_pool(thread_pool_options{.threads = 8, .name = "io helpers"});
  return pool;
}

}  // namespace tutti::io::detail
