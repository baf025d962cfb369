#include <tutti/core/wait_graph.hpp>

#include <tutti/core/call.hpp>

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

namespace tutti::wait_graph {

place caller_place(const place& here, const void* return_address) {
  if (here.file[0] != '\0' && std::string_view(here.file).find("/c++/") == std::string_view::npos) return here;
  ::Dl_info module{};
  if (::dladdr(return_address, &module) == 0 || module.dli_fname == nullptr) return here;
  char offset[32];
  // The call stands before the address it returns to.
  std::snprintf(offset, sizeof offset, "+0x%jx",
                static_cast<std::uintmax_t>(reinterpret_cast<std::uintptr_t>(return_address) -
                                            reinterpret_cast<std::uintptr_t>(module.dli_fbase) - 1));
  return {intern(std::string(module.dli_fname) + offset), 0, ""};
}

struct watched_wait::kept {
  explicit kept(const wait_observer::wait& what) : targets(what.targets.begin(), what.targets.end()), wait(what) {
    wait.targets = targets;
  }
  const std::vector<wait_target> targets;
  wait_observer::wait wait;
};

void watched_wait::begin_observed(wait_observer& by, const wait_observer::wait& what) {
  auto begun = std::make_unique<kept>(what);
  by.begin_wait(begun->wait);
  observer_ = &by;
  kept_ = begun.release();
}

void watched_wait::end_observed() noexcept {
  const std::unique_ptr<kept> ended(std::exchange(kept_, nullptr));
  observer_->end_wait(ended->wait);
}

}  // namespace tutti::wait_graph
