#include <tutti/core/wait_graph.hpp>

#include <tutti/core/task_frame.hpp>
#include <tutti/core/thread_record.hpp>

namespace tutti::wait_graph {

wait_party self() noexcept {
  if (this_frame != nullptr && this_frame->state != nullptr) return this_frame->state;
  return &this_thread_record();
}

}  // namespace tutti::wait_graph
