#include <tutti/core/unhandled.hpp>

#include <tutti/base/demangle.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/future_state.hpp>

#include <atomic>
#include <new>
#include <string>
#include <typeinfo>

namespace tutti {
namespace {

std::string describe(const std::exception_ptr& error, std::string& type) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    type = demangle(typeid(e).name());
    const char* const text = e.what();
    return text != nullptr ? text : "";
  } catch (...) {
    type = "not a std::exception";
    return "";
  }
}

const char* text_of(unhandled_origin origin) noexcept {
  switch (origin) {
    case unhandled_origin::dropped_future: return "exception of a dropped future";
    case unhandled_origin::post: return "exception of a posted function";
    case unhandled_origin::callback: return "exception of a callback";
    case unhandled_origin::sibling: return "exception of one of several tasks, too late to be thrown";
  }
  return "exception";
}

void default_handler(const std::exception_ptr& error, const char* task, unhandled_origin origin) noexcept {
  std::string type;
  const std::string what = describe(error, type);
  log(log_level::error, text_of(origin), {{"task", task}, {"type", type}, {"what", what}});
  if (origin == unhandled_origin::post) std::terminate();
}

std::atomic<unhandled_handler> current{default_handler};

}  // namespace

unhandled_handler on_unhandled(unhandled_handler handler) noexcept {
  return current.exchange(handler == nullptr ? default_handler : handler);
}

void report_unhandled(const std::exception_ptr& error, const char* task, unhandled_origin origin) noexcept {
  if (is_cancelled(error)) return;
  const unhandled_handler handler = current.load();
  std::string shown;
  try {
    shown = shown_name(task);
  } catch (const std::bad_alloc&) {  // then as the compiler spells it
    return handler(error, task, origin);
  }
  handler(error, shown.c_str(), origin);
}

}  // namespace tutti
