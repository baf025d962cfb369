#include <tutti/process/launchers.hpp>

#include <tutti/base/at_fork.hpp>

#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

namespace tutti::detail {

launchers::state& launchers::current() { return process_wide<state>(); }

std::shared_ptr<launcher> launchers::of(const std::string& program) {
  state& s = current();
  const std::lock_guard guard(s.mutex);
  if (s.forks != forks_before_this_process()) {
    // Those of the parent; their threads are not here. Never destroyed: their locks may be held for ever.
    for (auto& [path, other] : s.all) [[maybe_unused]]
      auto* const kept = new std::shared_ptr<launcher>(std::move(other));
    s.all.clear();
    s.forks = forks_before_this_process();
  }
  static const bool prepared = [] {
    ::pthread_atfork(nullptr, nullptr, [] {
      for (const int socket : std::exchange(current().sockets, {})) ::close(socket);
    });
    std::atexit([] { leave_all(); });
    return true;
  }();
  static_cast<void>(prepared);
  auto& found = s.all[program];
  if (found == nullptr) found = std::make_shared<launcher>(program);
  return found;
}

void launchers::opened(int socket) {
  state& s = current();
  const std::lock_guard guard(s.mutex);
  s.sockets.push_back(socket);
}

void launchers::closed(int socket) noexcept {
  state& s = current();
  const std::lock_guard guard(s.mutex);
  std::erase(s.sockets, socket);
}

// At the end of the program: nothing that was started is left behind, not even for a moment.
void launchers::leave_all() noexcept {
  std::vector<std::shared_ptr<launcher>> all;
  {
    state& s = current();
    const std::lock_guard guard(s.mutex);
    if (s.forks != forks_before_this_process()) return;
    for (const auto& [path, one] : s.all) all.push_back(one);
  }
  for (const auto& one : all) one->leave();
}

}  // namespace tutti::detail
