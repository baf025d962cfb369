#include <tutti/core/unhandled.hpp>

#include <tutti/base/demangle.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>

#include <atomic>
#include <typeinfo>

namespace tutti {
namespace {

std::string describe(const std::exception_ptr& error, std::string& type) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    type = demangle(typeid(e).name());
    return e.what();
  } catch (...) {
    type = "not a std::exception";
    return "";
  }
}

void default_handler(const std::exception_ptr& error, const char* task, unhandled_origin origin) noexcept {
  std::string type;
  const std::string what = describe(error, type);
  const char* const from = origin == unhandled_origin::dropped_future ? "exception of a dropped future"
                           : origin == unhandled_origin::post         ? "exception of a posted function"
                                                                      : "exception of a callback";
  log(log_level::error, from, {{"task", task}, {"type", type}, {"what", what}});
  if (origin == unhandled_origin::post) std::terminate();
}

std::atomic<unhandled_handler> current{default_handler};

}  // namespace

unhandled_handler on_unhandled(unhandled_handler handler) noexcept {
  return current.exchange(handler == nullptr ? default_handler : handler);
}

void report_unhandled(const std::exception_ptr& error, const char* task, unhandled_origin origin) noexcept {
  if (!is_cancelled(error)) current.load()(error, task, origin);
}

}  // namespace tutti
