#include <tutti/core/wait_graph.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace tutti::wait_graph {

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
