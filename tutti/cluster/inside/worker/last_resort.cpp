#include <tutti/cluster/inside/worker/last_resort.hpp>

#include <tutti/base/log.hpp>

#include <cstdlib>
#include <exception>

namespace tutti::cluster {
namespace {

constexpr std::chrono::seconds telling_time{1};

}  // namespace

void last_resort::begin(std::chrono::nanoseconds patience) noexcept {
  patience_ = patience;
  try {
    set(tutti::detail::time_after(patience));
  } catch (const std::exception& e) {
    log(log_level::error, "nobody will end tasks that do not stop", {{"error", e.what()}});
  }
}

void last_resort::end() noexcept {
  cancel_and_wait();
  if (!thread_.joinable()) return;
  begin(telling_time);
  thread_.join();
  cancel_and_wait();
}

void last_resort::due() noexcept {
  if (!is_telling_) {
    try {
      const std::vector<job_ptr> running = jobs_.running();
      if (running.empty() && !std::exchange(was_idle_, true)) {  // what else there is to do should end by itself
        set(tutti::detail::time_after(patience_));
        return;
      }
      set(tutti::detail::time_after(telling_time));
      thread_ = std::thread([this, running] { tell(running); });
      is_telling_ = true;
      return;
    } catch (const std::exception&) {  // no memory, no thread to tell of them
    }
  }
  std::_Exit(1);
}

void last_resort::tell(const std::vector<job_ptr>& running) noexcept {
  try {
    for (const job_ptr& one : running) {
      if (one->acknowledged.load() && !one->over.exchange(true)) lose_(one);
    }
    for (const job_ptr& one : running) {
      log(log_level::error, "a task still runs, and a thread cannot be ended: the process ends",
          {{"task", one->message.task}, {"id", one->message.id}});
    }
    if (running.empty()) log(log_level::error, "the worker does not end: the process ends");
  } catch (const std::exception&) {  // no memory
  }  // the process ends when the time for this is over: ends that are on their way have it too
}

}  // namespace tutti::cluster
