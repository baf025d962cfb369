// segment_name: the name of what is in a segment, for errors in all processes that share it.
#pragma once
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tutti::detail {

/// A copy of a name. Other processes could write to it, so that reading it trusts nothing.
class segment_name {
 public:
  static constexpr std::size_t most = 63;

  /// Throws std::invalid_argument for a longer one.
  segment_name(std::string_view name, const char* what) {
    if (name.size() > most) {
      throw std::invalid_argument(std::string(what) + ": a name of " + std::to_string(name.size()) +
                                  " bytes; the limit is " + std::to_string(most) + ": \"" + std::string(name) + '"');
    }
    name.copy(text_, name.size());
  }
  [[nodiscard]] std::string_view view() const noexcept { return {text_, ::strnlen(text_, most)}; }

 private:
  char text_[most + 1] = {};
};

}  // namespace tutti::detail
