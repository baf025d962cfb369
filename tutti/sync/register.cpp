// Watches the waits of every program that links this module when TUTTI_WATCH asks for it.
#include <tutti/sync/watch.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace tutti {
namespace {

const bool watching = [] {
  const char* const wanted = std::getenv("TUTTI_WATCH");
  if (wanted == nullptr || *wanted == '\0') return false;
  try {
    static_cast<void>(*new watch(watch_options_from(wanted)));  // to the end, statics' destructors included
  } catch (const std::exception& wrong) {
    std::fprintf(stderr, "%s\n", wrong.what());
    std::_Exit(2);
  }
  return true;
}();

}  // namespace
}  // namespace tutti
