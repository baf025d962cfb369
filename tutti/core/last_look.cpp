#include <tutti/core/last_look.hpp>

#include <cstdio>
#include <cstdlib>

namespace tutti::detail {

std::string primitive_text(const char* kind, std::string_view name) {
  std::string text = kind;
  if (!name.empty()) text.append(" \"").append(name).append("\"");
  return text;
}

void last_look(wait_list& waiters, const char* kind, std::string_view name, const char* state) noexcept {
  std::size_t waiting = 0;
  {
    const std::lock_guard lock(waiters.mutex());
    waiting = waiters.size();
  }
  if (waiting == 0 && state == nullptr) [[likely]]
    return;
  const std::string what = primitive_text(kind, name);
  if (waiting == 0) {
    std::fprintf(stderr, "tutti: fatal: %s destroyed while %s\n", what.c_str(), state);
  } else {
    std::fprintf(stderr, "tutti: fatal: %s destroyed while %zu wait%s for it\n", what.c_str(), waiting,
                 waiting == 1 ? "s" : "");
  }
  std::abort();
}

}  // namespace tutti::detail
