// Makes this module's executors known to make_executor in every program that links it.
#include <tutti/base/error.hpp>
#include <tutti/core/inline_executor.hpp>
#include <tutti/core/make_executor.hpp>
#include <tutti/core/thread_pool.hpp>

namespace tutti {
namespace {

std::unique_ptr<executor> make_inline(std::string_view spec) {
  if (spec != "inline") throw bad_spec("executor \"" + std::string(spec) + "\": inline takes no count");
  return std::make_unique<inline_executor>();
}

std::unique_ptr<executor> make_threads(std::string_view spec) {
  const int count = count_in_spec(spec, scheduler::max_concurrency);
  if (count == 0) return default_pool().share();
  return std::make_unique<thread_pool>(count);
}

const bool registered = [] {
  register_executor({"inline", "inline", "tutti::core", "at once, on the calling thread", make_inline, nullptr});
  register_executor({"threads", "threads[:N]", "tutti::core", "threads of this process", make_threads, nullptr});
  return true;
}();

}  // namespace
}  // namespace tutti
