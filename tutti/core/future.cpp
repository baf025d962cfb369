#include <tutti/core/future.hpp>

#include <tutti/core/pools.hpp>
#include <tutti/core/scheduler.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace tutti::detail {

void throw_no_state(const char* operation) {
  throw std::logic_error(std::string("future::") + operation +
                         ": it holds nothing: it was moved from, or its result was taken already (share() gives a "
                         "future that can be read many times)");
}

std::uint64_t resume_home() noexcept { return this_worker == nullptr ? 0 : this_worker->pool->executor_id(); }

bool resume_when_ready::suspend(future_state_base& state, std::coroutine_handle<> coroutine) {
  coroutine_ = coroutine;
  home_ = resume_home();
  name_ = this_frame == nullptr ? "" : this_frame->name;
  state.observe();  // resuming throws its error
  state.when_ready(*this);
  // The coroutine may be resumed by the completing thread before this function returns; then *this is gone, so
  // whoever comes second acts. Second here means: it became ready at once, and nobody was told to resume.
  return arrivals_.fetch_add(1, std::memory_order_acq_rel) == 0;
}

void resume_when_ready::on_ready(future_state_base&) noexcept {
  if (arrivals_.fetch_add(1, std::memory_order_acq_rel) == 0) return;  // suspend() sees it and does not suspend
  start_at_home(home_, call(this));
}

void resume_when_ready::run() noexcept { coroutine_.resume(); }

// ---------------------------------------------------------------- chains

namespace {

struct turn {
  future_state_base* state;
  void (*act)(future_state_base&, int) noexcept;
  int argument;
};
constinit thread_local std::vector<turn>* turns = nullptr;  // the outermost call's
constinit thread_local int turn_depth = 0;
constexpr int deepest = 64;

void take_turn(turn next) noexcept {
  ++turn_depth;
  if (next.act != nullptr) next.act(*next.state, next.argument);
  next.state->release();
  --turn_depth;
}

}  // namespace

void in_turn(state_ref<future_state_base> state, void (*act)(future_state_base&, int) noexcept, int argument) noexcept {
  const turn mine{state.release(), act, argument};
  if (turns != nullptr) {
    if (turn_depth >= deepest) {
      try {
        turns->push_back(mine);
        return;
      } catch (const std::bad_alloc&) {  // then deeper
      }
    }
    take_turn(mine);
    return;
  }
  std::vector<turn> waiting;
  turns = &waiting;
  take_turn(mine);
  while (!waiting.empty()) {
    const turn next = waiting.back();
    waiting.pop_back();
    take_turn(next);
  }
  turns = nullptr;
}

void cancel_in_turn(state_ref<future_state_base> state) noexcept {
  in_turn(std::move(state), [](future_state_base& s, int) noexcept { static_cast<void>(s.cancel()); }, 0);
}

void expedite_in_turn(state_ref<future_state_base> state, int priority) noexcept {
  in_turn(
      std::move(state),
      [](future_state_base& s, int lent) noexcept {
        if (!s.is_ready()) s.expedite(lent);
      },
      priority);
}

// ---------------------------------------------------------------- helping

namespace {

// How this thread helps in its current frame; a task run meanwhile has a frame of its own, and starts afresh.
struct helping {
  const task_frame* frame = nullptr;
  int depth = 0;        // futures made from futures, down to the one helped
  bool waiting = true;  // false: only run what has not begun
};
constinit thread_local helping help_now;

class help_scope {
 public:
  explicit help_scope(bool waiting) noexcept : before_(help_now) {
    if (before_.depth == 0 || before_.frame != this_frame) {
      help_now = {this_frame, 1, waiting};
    } else {
      ++help_now.depth;
      help_now.waiting = help_now.waiting && waiting;
    }
  }
  ~help_scope() { help_now = before_; }
  help_scope(const help_scope&) = delete;
  help_scope& operator=(const help_scope&) = delete;
  // The stack follows the chain only so far; behind that, waiting does.
  bool too_deep() const noexcept { return help_now.depth > deepest; }
  bool waiting() const noexcept { return help_now.waiting; }

 private:
  const helping before_;
};

}  // namespace

bool at_home(std::uint64_t home) noexcept {
  if (this_worker == nullptr) return false;
  return home == 0 ? is_default_pool(*this_worker->pool) : this_worker->pool->executor_id() == home;
}

void run_part(future_state_base& part) noexcept {
  if (this_worker == nullptr || part.is_ready()) return;
  if (part.home() != 0 && !at_home(part.home())) return;
  const help_scope scope(/*waiting=*/false);
  if (!scope.too_deep()) part.run_here();
}

void help_part(future_state_base& part) noexcept {
  if (part.is_ready()) return;
  const help_scope scope(/*waiting=*/true);
  if (scope.too_deep()) return;
  if (!scope.waiting()) return run_part(part);
  try {
    part.wait(place::current());
  } catch (...) {  // pool_exhausted: the caller's own wait will say so
  }
}

}  // namespace tutti::detail
