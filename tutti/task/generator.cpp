#include <tutti/base/demangle.hpp>
#include <tutti/task/generator.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace tutti::detail {

void throw_generator_misuse(const std::type_info& generator, const char* mistake) {
  std::string text = demangle(generator.name());
  text.append(": ").append(mistake);
  throw std::logic_error(text);
}

// Wrapping a generator in another one again and again, and running none, makes a chain through their parameters, any
// number of links long. Destroying it recurses a little, in the order of the parameters; what lies deeper is destroyed
// after the frame that held it, in a loop of the outermost call. As nothing there has run, only parameters are left to
// destroy, and those of the inner one were made before the frame that holds it.
void destroy_unstarted(std::coroutine_handle<> frame) noexcept {
  constexpr int deepest = 100;
  thread_local int depth = 0;
  thread_local std::vector<std::coroutine_handle<>>* later = nullptr;
  if (depth == deepest) {
    try {
      return later->push_back(frame);
    } catch (const std::bad_alloc&) {
      return frame.destroy();  // no room to remember it
    }
  }
  if (depth != 0) {
    ++depth;
    frame.destroy();
    --depth;
    return;
  }
  std::vector<std::coroutine_handle<>> deeper;
  later = &deeper;
  depth = 1;
  frame.destroy();
  while (!deeper.empty()) {
    const std::coroutine_handle<> next = deeper.back();
    deeper.pop_back();
    next.destroy();
  }
  depth = 0;
}

}  // namespace tutti::detail
