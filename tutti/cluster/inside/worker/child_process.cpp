#include <tutti/cluster/inside/worker/child_process.hpp>

#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/process/exit_status.hpp>
#include <tutti/process/process_pool.hpp>

#include <unistd.h>

#include <csignal>
#include <fstream>
#include <new>
#include <set>
#include <string>
#include <utility>

namespace tutti::cluster {

namespace {

// How its process died, for whoever knows the task, not the pool.
std::string loss_of(const worker_lost& e, int pid, const std::string& task) {
  const std::string process = "its process (pid " + std::to_string(pid) + ") ";
  if (e.signal()) return process + "was " + to_string(exit_status::killed(*e.signal())) + " while it ran " + task;
  if (e.exit_code()) {
    return process + "ended with " + to_string(exit_status::exited(*e.exit_code())) + " while it ran " + task;
  }
  return e.what();
}

}  // namespace

child_process::child_process(const child_limits& limits, const detail::child_setup& setup)
    : limits_(limits), setup_(setup) {}
child_process::~child_process() = default;

void child_process::make_ready(const std::function<bool()>& is_wanted) {
  if (no_begin_) {
    drop();
    std::rethrow_exception(std::exchange(no_begin_, nullptr));
  }
  if (is_worn()) drop();
  if (!pool_) {
    detail::child_setup setup = setup_;
    std::set<std::string> libraries;
    for (const registered_task* task : registered_tasks()) libraries.insert(task->library);
    libraries.erase("");
    setup.libraries.assign(libraries.begin(), libraries.end());
    auto made = std::make_unique<process_pool>(process_pool_options{.workers = 1, .name = "tutti worker"},
                                               fn<detail::prepare_child>, setup, begun_);
    const std::lock_guard lock(mutex_);
    pool_ = std::move(made);
  }
  if (ready_ != 0 && pid() == ready_) return;
  try {
    future<std::int32_t> answer = pool_->submit<detail::child_pid>();
    while (!answer.wait_for(std::chrono::milliseconds(50))) {
      if (!is_wanted()) kill(nullptr, SIGKILL);  // it may never begin to answer, as when it loads a library
    }
    ready_ = answer.get();
    tasks_ = 0;
  } catch (...) {
    drop();
    throw;
  }
}

void child_process::drop() {
  ready_ = 0;
  const std::unique_ptr<process_pool> old = [&] {  // waited for without the mutex
    const std::lock_guard lock(mutex_);
    return std::move(pool_);
  }();
}

outcome child_process::run(const void* what, const detail::child_request& request,
                           std::optional<std::chrono::nanoseconds> limit, const std::function<bool()>& is_wanted) {
  using clock = std::chrono::steady_clock;
  const auto start = clock::now();
  const std::uint64_t before = begun_.load();
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
    if (ended.kind == outcome_kind::again) no_begin_ = std::make_exception_ptr(error(ended.text));
  } catch (const std::bad_alloc&) {  // for the arguments or the result
    ended.failure = describe_failure(std::current_exception());
  } catch (const std::exception& e) {
    ended.text = e.what();
    const std::uint64_t begun = begun_.load();
    if (begun == before) {  // no process, no descriptors
      ended.kind = outcome_kind::again;
      if (!is_over_time && is_wanted()) no_begin_ = std::current_exception();  // else it was we who ended the process
    } else if (const auto* const loss = dynamic_cast<const worker_lost*>(&e)) {
      ended.kind = outcome_kind::lost;
      ended.text = loss_of(*loss, detail::pid_of_attempt(begun), request.message.task);
    } else {
      ended.failure = describe_failure(std::current_exception());
    }
  }
  {
    const std::lock_guard lock(mutex_);
    running_ = nullptr;
  }
  if (is_over_time) {
    ended = outcome();
    ended.failure = time_limit_failure(*limit);
  }
  ended.took = (clock::now() - start).count();
  ++tasks_;
  return ended;
}

bool child_process::is_worn() const {
  if (!pool_ || ready_ == 0) return false;
  if (limits_.most_tasks > 0 && tasks_ >= limits_.most_tasks) return true;
  if (limits_.most_memory == 0) return false;
  std::ifstream in("/proc/" + std::to_string(ready_) + "/statm");
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

int child_process::pid() const {
  const std::lock_guard lock(mutex_);
  if (!pool_) return 0;
  const std::vector<int> all = pool_->pids();
  return all.empty() ? 0 : all.back();
}

}  // namespace tutti::cluster
