#include <tutti/sync/recursive_mutex.hpp>

#include <tutti/core/last_look.hpp>

#include <stdexcept>

namespace tutti {

static_assert(sizeof(recursive_mutex) <= 64, "a recursive_mutex and a few words beside it share a cache line");

void recursive_mutex::deepen() {
  if (depth_ == max_depth) {
    throw std::length_error(detail::primitive_text(words.kind, name()) + ": locked " + std::to_string(depth_) +
                            " times by its owner, which is the limit; unlock it as often as it is locked");
  }
  ++depth_;
}

}  // namespace tutti
