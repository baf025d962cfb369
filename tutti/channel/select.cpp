#include <tutti/channel/select.hpp>

#include <tutti/base/error.hpp>

namespace tutti::detail {

void throw_all_closed(const channel_case* first, std::size_t n) {
  std::string text = "select: all its channels are closed:";
  for (std::size_t i = 0; i < n; ++i) {
    if (first[i].at == nullptr) continue;
    const std::string_view name = first[i].at->target.name;
    text += name.empty() ? " (no name)" : " \"" + std::string(name) + "\"";
  }
  throw closed(text + "; otherwise(f), after(limit, f) or a function that takes an optional goes on then");
}

void throw_none_enabled(const place& here) {
  throw std::logic_error("select at " + to_string(here) +
                         ": when(false) switches all its cases off, so it would wait for ever; add otherwise(f)");
}

}  // namespace tutti::detail
