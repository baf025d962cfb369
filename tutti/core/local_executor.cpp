#include <tutti/core/local_executor.hpp>

#include <tutti/base/trace.hpp>
#include <tutti/core/wait_graph.hpp>
#include <tutti/core/worker.hpp>

namespace tutti::detail {

void run_posted(const call_node& node, const task_values* values, void (*body)(void*), void* context) noexcept {
  const char* const name = node.name();
  worker* const self = this_worker;
  task_frame frame{this_frame,
                   name,
                   nullptr,
                   values,
                   self == nullptr ? nullptr : self->pool,
                   node.priority(),
                   self == nullptr ? 0 : self->forks.bottom()};
  frame.party = &frame;
  this_frame = &frame;
  if (self != nullptr) self->task_name.store(name, std::memory_order_release);
  trace_point(trace_kind::task_begin, &node, name);
  try {
    body(context);
  } catch (...) {
    report_unhandled(std::current_exception(), name, unhandled_origin::post);
  }
  this_frame = frame.parent;
  wait_graph::ended(&frame);
  trace_point(trace_kind::task_end, &node, &frame);
  if (self == nullptr) return;
  self->task_name.store(frame.parent == nullptr ? nullptr : frame.parent->name, std::memory_order_release);
  self->forks.end_root();
}

}  // namespace tutti::detail
