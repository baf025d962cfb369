// trace: the names of the kinds.
#include <tutti/base/trace.hpp>

namespace tutti {

std::string_view to_string(trace_kind kind) noexcept {
  switch (kind) {
    case trace_kind::task_submit: return "task_submit";
    case trace_kind::task_begin: return "task_begin";
    case trace_kind::task_end: return "task_end";
    case trace_kind::task_wait: return "task_wait";
    case trace_kind::task_resume: return "task_resume";
    case trace_kind::publish: return "publish";
    case trace_kind::steal: return "steal";
    case trace_kind::branch_begin: return "branch_begin";
    case trace_kind::branch_end: return "branch_end";
    case trace_kind::join: return "join";
    case trace_kind::park: return "park";
    case trace_kind::unpark: return "unpark";
    case trace_kind::wait_begin: return "wait_begin";
    case trace_kind::wait_place: return "wait_place";
    case trace_kind::wait_name: return "wait_name";
    case trace_kind::wait_end: return "wait_end";
    case trace_kind::wake: return "wake";
    case trace_kind::thread_start: return "thread_start";
    case trace_kind::thread_stop: return "thread_stop";
    case trace_kind::span_begin: return "span_begin";
    case trace_kind::span_end: return "span_end";
    case trace_kind::mark: return "mark";
    case trace_kind::count: return "count";
  }
  return "unknown";
}

}  // namespace tutti
