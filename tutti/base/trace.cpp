// trace: the names of the kinds.
#include <tutti/base/trace.hpp>

namespace tutti {

std::string_view to_string(trace_kind kind) noexcept {
  switch (kind) {
    case trace_kind::task_submit: return "task_submit";
    case trace_kind::task_begin: return "task_begin";
    case trace_kind::task_end: return "task_end";
    case trace_kind::fork: return "fork";
    case trace_kind::steal: return "steal";
    case trace_kind::publish: return "publish";
    case trace_kind::park: return "park";
    case trace_kind::unpark: return "unpark";
    case trace_kind::wait_begin: return "wait_begin";
    case trace_kind::wait_end: return "wait_end";
    case trace_kind::thread_start: return "thread_start";
    case trace_kind::thread_stop: return "thread_stop";
    case trace_kind::lock_acquire: return "lock_acquire";
    case trace_kind::lock_release: return "lock_release";
    case trace_kind::send: return "send";
    case trace_kind::receive: return "receive";
    case trace_kind::timer: return "timer";
    case trace_kind::user: return "user";
  }
  return "unknown";
}

}  // namespace tutti
