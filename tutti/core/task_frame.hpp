// task_frame: what the current thread is doing, seen from the task: name, stop, deadline, inherited values.
#pragma once
#include <tutti/core/cpu.hpp>

namespace tutti {

class coroutine_run;
class future_state_base;
class scheduler;
class task_values;

/// One task in progress on this thread, or a stretch of one with other inherited values. Frames nest as calls do: a
/// worker that waits may run what it waits for on top. Lives on the stack.
struct task_frame {
  task_frame* parent;            ///< what this thread was doing before, and goes on with after
  const char* name;              ///< never null
  future_state_base* state;      ///< whose stop requests and deadline count; null: nobody's
  const task_values* values;     ///< inherited values; null: none
  const scheduler* pool;         ///< whose shutdown asks it to stop; null: none's
  int priority;                  ///< lent to what it waits for
  std::uint32_t fork_base;       ///< the worker's branches at or above this index belong to this frame
  coroutine_run* run = nullptr;  ///< the coroutine task whose own code runs in this frame; null: a function's
  const void* party = nullptr;   ///< who holds locks and waits here, see wait_graph.hpp; null: the thread
};

/// The innermost frame of this thread, null outside tasks.
inline constinit thread_local task_frame* this_frame = nullptr;

}  // namespace tutti
