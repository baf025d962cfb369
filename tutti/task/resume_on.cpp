#include <tutti/task/resume_on.hpp>

namespace tutti::detail {

bool move_awaiter::move(coroutine_link& link) noexcept {
  link_ = &link;
  // An inline executor runs things where they are.
  if (link.home.id == to_ || is_inline_home(to_)) return false;
  link.run->hold_home();
  const std::optional<home_ref> held = hold_home(to_);
  if (!held) {
    refused_ = true;
    return false;
  }
  const home_ref before = std::exchange(link.home, *held);
  // What it leaves is not finished before this stretch, which runs there, is over.
  if (!std::exchange(link.holds, true)) {
    link.run->count_move();
  } else if (before.target != nullptr) {
    before.target->let_go();
  }
  post();
  return true;
}

void move_awaiter::await_resume() const {
  if (refused_) throw closed("resume_on: the executor is shut down and takes no more work; move before shutdown()");
  if (link_->run->stopping(*link_)) link_->run->throw_stopped("resume_on");
}

}  // namespace tutti::detail
