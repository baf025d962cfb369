// Watches the waits of every program that links this module when TUTTI_WATCH asks for it.
#include <tutti/sync/watch.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace tutti {
namespace {

// Never destroyed: it watches to the end, statics' destructors included.
watch* const watching = []() -> watch* {
  const char* const wanted = std::getenv("TUTTI_WATCH");
  if (wanted == nullptr || *wanted == '\0') return nullptr;
  try {
    return new watch(watch_options_from(wanted));
  } catch (const std::exception& wrong) {
    std::fprintf(stderr, "%s\n", wrong.what());
    std::_Exit(2);
  }
}();

}  // namespace
}  // namespace tutti
