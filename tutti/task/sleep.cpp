#include <tutti/task/sleep.hpp>

#include <tutti/base/clock.hpp>

namespace tutti::detail {

bool sleep_awaiter::wait(coroutine_link& link) {
  begin(link);
  if (until_ <= now()) {
    post();
    return true;
  }
  set(until_);
  return commit();
}

void sleep_awaiter::await_resume() {
  const std::uint32_t outcome = end();
  if (outcome == 0) return;
  cancel_and_wait();
  // Never set: it only let others run.
  if (outcome == wait_ticket::by_stop || link().run->stopping(link())) throw_cancelled();
}

}  // namespace tutti::detail
