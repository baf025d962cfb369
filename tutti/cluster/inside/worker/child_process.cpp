#include <tutti/cluster/inside/worker/child_process.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>
#include <tutti/process/process_pool.hpp>

#include <unistd.h>

#include <csignal>
#include <exception>
#include <fstream>
#include <utility>

namespace tutti::cluster {

child_process::child_process(const child_limits& limits) : limits_(limits) {}
child_process::~child_process() = default;

void child_process::make_ready() {
  if (is_ready_) return;
  if (!pool_) {
    auto made = std::make_unique<process_pool>(process_pool_options{.workers = 1, .name = "tutti worker"},
                                               fn<detail::prepare_child>);
    const std::lock_guard lock(mutex_);
    pool_ = std::move(made);
    tasks_ = 0;
  }
  try {
    pid_.store(pool_->submit<detail::child_pid>().get());
  } catch (...) {
    const std::lock_guard lock(mutex_);
    pool_.reset();
    throw;
  }
  is_ready_ = true;
}

outcome child_process::run(const void* what, const detail::child_request& request,
                           std::optional<std::chrono::nanoseconds> limit, const std::function<bool()>& is_wanted) {
  using clock = std::chrono::steady_clock;
  const auto begun = clock::now();
  outcome ended;
  bool is_over_time = false;
  try {
    future<std::string> answer = [&] {
      const std::lock_guard lock(mutex_);
      running_ = what;
      if (!is_wanted()) return future<std::string>();
      return pool_->submit<detail::run_in_child>(encode(request));
    }();
    if (!answer.valid()) {
      const std::lock_guard lock(mutex_);
      running_ = nullptr;
      ended.kind = outcome_kind::again;
      return ended;
    }
    if (limit && !answer.wait_for(*limit)) {
      is_over_time = true;
      do {
        kill(what, SIGKILL);
      } while (!answer.wait_for(std::chrono::milliseconds(50)));
    }
    ended = decode<outcome>(answer.get());
  } catch (const worker_lost& e) {
    ended.kind = outcome_kind::lost;
    ended.text = e.what();
    is_ready_ = false;  // another process takes its place
    tasks_ = 0;
  } catch (...) {  // no memory for the arguments or the result, no descriptors
    ended.kind = outcome_kind::failure;
    ended.failure = describe_failure(std::current_exception());
  }
  {
    const std::lock_guard lock(mutex_);
    running_ = nullptr;
  }
  if (is_over_time) {
    ended = outcome();
    ended.failure = celery_failure("TimeLimitExceeded",
                                   std::to_string(std::chrono::duration<double>(*limit).count()) + " s are over");
  }
  ended.took = (clock::now() - begun).count();
  ++tasks_;
  if (is_ready_ && is_worn()) {
    const std::unique_ptr<process_pool> old = [&] {
      const std::lock_guard lock(mutex_);
      pid_.store(0);
      return std::move(pool_);
    }();
    is_ready_ = false;
  }
  return ended;
}

bool child_process::is_worn() const {
  if (limits_.most_tasks > 0 && tasks_ >= limits_.most_tasks) return true;
  if (limits_.most_memory == 0) return false;
  std::ifstream in("/proc/" + std::to_string(pid_.load()) + "/statm");
  std::uint64_t all = 0, resident = 0;
  if (!(in >> all >> resident)) return false;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024 > limits_.most_memory;
}

void child_process::kill(const void* what, int signal) noexcept {
  const bool is_ignored = signal == SIGTERM || signal == SIGINT || signal == SIGQUIT || signal == SIGHUP;
  const std::lock_guard lock(mutex_);
  if (running_ != what || !pool_) return;
  try {
    for (const int pid : pool_->pids()) ::kill(pid, is_ignored ? SIGKILL : signal);
  } catch (const std::exception&) {  // no memory: who asked asks again, or the task ends by itself
  }
}

}  // namespace tutti::cluster
