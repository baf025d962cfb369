#include <tutti/core/call.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>

#include <mutex>
#include <unordered_set>

namespace tutti {

void call::drop() noexcept {
  release()->abandon(std::make_exception_ptr(closed("call dropped by its executor before it was started")));
}

namespace {

struct all_names {
  std::mutex mutex;
  std::unordered_set<std::string> texts;  // node-based: addresses are stable
};

}  // namespace

const char* intern(std::string_view text) {
  if (text.empty()) return "";
  auto& all = process_wide<all_names>();
  const std::lock_guard lock(all.mutex);
  return all.texts.emplace(text).first->c_str();
}

}  // namespace tutti
