#include <tutti/cluster/inside/worker/last_resort.hpp>

#include <tutti/base/log.hpp>

#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

namespace tutti::cluster {

void last_resort::begin(std::chrono::nanoseconds patience) noexcept {
  try {
    set(tutti::detail::time_after(patience));
  } catch (const std::exception& e) {
    log(log_level::error, "nobody will end tasks that do not stop", {{"error", e.what()}});
  }
}

void last_resort::due() noexcept {
  try {
    const std::vector<job_ptr> running = jobs_.running();
    if (running.empty()) return;  // what else there is to do ends by itself
    for (const job_ptr& one : running) {
      log(log_level::error, "a task still runs, and a thread cannot be ended: the process ends, the task is run again",
          {{"task", one->message.task}, {"id", one->message.id}});
    }
  } catch (const std::exception&) {  // no memory to tell of them
  }
  std::_Exit(1);
}

}  // namespace tutti::cluster
