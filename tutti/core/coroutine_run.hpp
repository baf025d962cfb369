// coroutine_run: one coroutine task in progress: where it goes on, what it waits for, and who asked it to stop.
//
// A task is one stack of coroutines, each awaited by the one below, of which only the innermost can go on. Whoever runs
// a stretch of it does so in a loop (`drive`): a coroutine that awaits another one, or ends, names the next to be
// resumed and returns to that loop. Nothing recurses, so neither depth nor number of awaits is limited by the stack.
//
// A stretch ends when the innermost coroutine waits (see suspension.hpp) or the outermost has ended. From the moment it
// waits, another thread may run the next stretch, or end the task: the loop then touches nothing but its own stack.
#pragma once
#include <tutti/core/call.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/task_values.hpp>

#include <atomic>
#include <coroutine>
#include <iosfwd>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

namespace tutti {

class suspension;

/// What every coroutine of a task keeps about itself and the one that awaits it. Used by the one thread that runs the
/// task now, and by `dump` while it waits.
struct coroutine_link {
  coroutine_run* run = nullptr;       ///< the task it belongs to, once it has begun
  coroutine_link* awaiter = nullptr;  ///< who goes on when it ends; null: it is the outermost
  std::coroutine_handle<> handle;     ///< its own
  home_ref home;                      ///< where it goes on
  bool holds = false;                 ///< it has held `home.target` itself; otherwise whoever awaits it has
  std::source_location made{}, at{};  ///< its function, and where it awaits
};

/// The same position, without the column.
inline place as_place(const std::source_location& at) noexcept {
  return {at.file_name(), at.line(), at.function_name()};
}

/// The part of a coroutine task that does not depend on its result's type. Two references at birth, as a task_state's:
/// the future's and the queue's, which becomes its own when it begins.
class coroutine_run : public call_node {
 public:
  coroutine_run(const coroutine_run&) = delete;
  coroutine_run& operator=(const coroutine_run&) = delete;

  /// Name, priority, timeout and stop token of the task; copies what it needs. Before it is handed in.
  void configure(const call_options& options, const char* default_name);

  void run() noexcept final;
  void abandon(std::exception_ptr error) noexcept final;

  /// Runs the next stretch of a task on this thread.
  static void resume(coroutine_link& innermost) noexcept;

  // ---- for its coroutines, on the thread that runs it
  /// Names the coroutine that this stretch goes on with.
  void go_on_with(coroutine_link& next) noexcept { stretch_->next = &next; }
  /// A coroutine has ended: whoever awaits it goes on, perhaps on another executor.
  void ended(coroutine_link& link) noexcept {
    coroutine_link* const awaiter = link.awaiter;
    if (awaiter != nullptr && awaiter->home.id == link.home.id && !link.holds) [[likely]] {
      stretch_->next = awaiter;
    } else {
      ended_elsewhere(link);
    }
  }
  /// Sees to it that the executor to come back to lives on; before the task leaves this thread.
  void hold_home() noexcept {
    stretch_->left = true;
    if (!outermost_->holds) hold_first_home();
  }
  /// Asked to stop, or an executor it is on is shut down with `cancel`.
  bool stopping(const coroutine_link& innermost) const noexcept;
  /// Throws `cancelled`. `what`: what it waited for.
  [[noreturn]] void throw_stopped(const char* what) const;
  /// For dump, on any thread: its name, what it waits for and since when, and the coroutines that await that, innermost
  /// first.
  void describe(std::ostream& out) const;
  /// The first line of that, without its name; nothing while it does not wait.
  std::string describe_wait() const;

  /// Where the outermost coroutine goes on.
  const home_ref& home() const noexcept { return outermost_->home; }
  /// The task whose code runs on this thread; null in functions and outside coroutines.
  static coroutine_run* current() noexcept { return this_frame == nullptr ? nullptr : this_frame->run; }

  /// Whether it has a time limit or a stop token.
  bool has_limits() const noexcept { return limits_ != nullptr; }

  virtual future_state_base& state() noexcept = 0;
  const future_state_base& state() const noexcept { return const_cast<coroutine_run*>(this)->state(); }

  /// A coroutine has moved to another executor, which it holds. The outermost holds one already: see hold_home.
  void count_move() noexcept { ++moved_; }

  // The bindings of task_local in force, changed by bind() in its coroutines.
  const task_values* values() const noexcept { return values_; }
  /// Takes over a reference to `list`.
  void set_values(const task_values* list) noexcept;

 protected:
  explicit coroutine_run(coroutine_link& outermost) noexcept;
  ~coroutine_run() override;
  /// Waits for a stop callback that runs: what it looks at must still be there.
  void drop_limits() noexcept {
    if (limits_ != nullptr) [[unlikely]]
      delete_limits();
  }

  /// Takes the outermost coroutine's result, or its error, which then goes through `final_error`; destroys it.
  virtual void collect() noexcept = 0;
  /// Destroys the outermost coroutine, which has not begun and never will.
  virtual void destroy_outermost() noexcept = 0;
  std::exception_ptr final_error(std::exception_ptr error) const;

  // For future_state_base's hooks.
  bool begin_here() noexcept;
  void stop_waiting() noexcept;
  std::optional<std::chrono::steady_clock::time_point> run_deadline() const noexcept;

 private:
  friend class suspension;
  friend class coroutine_list;
  friend void stop_waiting_on(const call_target& target) noexcept;
  struct stretch {
    task_frame frame;
    coroutine_link* next;
    bool finished = false, left = false;  // how the stretch ended
  };
  struct limits;
  class look;

  void delete_limits() noexcept;
  void begin() noexcept;
  void fail_unbegun(std::exception_ptr error) noexcept;
  void drive(coroutine_link& first) noexcept;
  void fail_lost(coroutine_link& innermost) noexcept;
  void hold_first_home() noexcept;
  void withdraw() noexcept;
  void finish() noexcept;
  void ended_elsewhere(coroutine_link& link) noexcept;
  void way_back(coroutine_link& awaiter, coroutine_link& link) noexcept;
  void show_waiting(suspension& wait) noexcept;
  void hide_waiting() noexcept;
  bool waits_on(const call_target& target) const noexcept;

  stretch* stretch_ = nullptr;  // of the thread that runs it
  coroutine_link* const outermost_;
  const task_values* values_;
  std::uint32_t moved_ = 0;   // coroutines, but for the outermost, that hold an executor of their own
  limits* limits_ = nullptr;  // only for tasks with a timeout or a stop token

  // What it waits for; others look at it through `look`, for which it stays: `suspension::end` waits for visitors.
  std::atomic<suspension*> waiting_{nullptr};
  mutable std::atomic<std::uint32_t> visitors_{0};

  // Its place in coroutine_list, from its first wait on.
  std::uint32_t listed_in_ = 0;  // 0: in none
  std::uint32_t listed_by_ = 0;  // which process, counted in forks
  coroutine_run* next_listed_ = nullptr;
  coroutine_run* previous_listed_ = nullptr;
};

/// What all coroutine tasks that have ever waited are doing now: one text each, of one line or more.
std::vector<std::string> describe_coroutines();
/// Asks all coroutine tasks to stop that have held `target`.
void stop_waiting_on(const call_target& target) noexcept;

}  // namespace tutti
