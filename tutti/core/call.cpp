#include <tutti/core/call.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>

#include <mutex>
#include <unordered_set>

namespace tutti {

void call::drop() noexcept {
  release()->abandon(std::make_exception_ptr(closed("call dropped by its executor before it was started")));
}

const char* intern(std::string_view text) {
  if (text.empty()) return "";
  static auto* mutex = &held_at_fork(*new std::mutex);       // leaked: names outlive statics
  static auto* names = new std::unordered_set<std::string>;  // node-based: addresses are stable
  const std::lock_guard lock(*mutex);
  return names->emplace(text).first->c_str();
}

}  // namespace tutti
