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

// Leaked: names outlive statics.
struct all_names {
  all_names() { held_at_fork(mutex); }
  std::mutex mutex;
  std::unordered_set<std::string> texts;  // node-based: addresses are stable
};

all_names& names() {
  static auto* all = new all_names;
  return *all;
}
[[maybe_unused]] const auto& made_early = names();  // see at_fork.hpp

}  // namespace

const char* intern(std::string_view text) {
  if (text.empty()) return "";
  auto& all = names();
  const std::lock_guard lock(all.mutex);
  return all.texts.emplace(text).first->c_str();
}

}  // namespace tutti
