#include <tutti/process/process_pool.hpp>

#include <tutti/core/concurrency.hpp>
#include <tutti/process/pool_core.hpp>

#include <atomic>
#include <stdexcept>

namespace tutti {
namespace {

std::string default_name() {
  static std::atomic<int> made{0};
  return "process_pool-" + std::to_string(made.fetch_add(1, std::memory_order_relaxed) + 1);
}

// A worker's own needs, for messages and the call's name.
constexpr std::uint64_t least_memory = std::uint64_t{1} << 20;

int checked_workers(int workers) {
  if (workers >= 1 && workers <= process_pool::most_workers) return workers;
  throw std::invalid_argument("process_pool: " + std::to_string(workers) + " workers; give 1 to " +
                              std::to_string(process_pool::most_workers) +
                              ", or 0 at its making for as many as there are processors");
}

}  // namespace

process_pool::process_pool(const process_pool_options& options) { make(options, nullptr, {}, {}); }

process_pool::process_pool(std::uint64_t id, std::shared_ptr<detail::pool_core> core)
    : executor(id), core_(std::move(core)) {
  core_->retain_handle();
}

void process_pool::make(const process_pool_options& options, const function_info* initializer, std::string arguments,
                        std::vector<unique_fd> handles) {
  detail::pool_settings settings;
  settings.workers = checked_workers(options.workers == 0 ? default_workers(most_workers) : options.workers);
  settings.name = options.name.empty() ? default_name() : std::string(options.name);
  settings.exec = options.start == start_method::exec;
  settings.max_tasks = options.max_tasks_per_worker;
  settings.memory_limit = options.memory_limit;
  if (options.memory_limit != 0 && options.memory_limit < least_memory) {
    throw std::invalid_argument("process_pool: a memory_limit of " + std::to_string(options.memory_limit) +
                                " bytes; give at least " + std::to_string(least_memory) + ", or 0 for none");
  }
  if (options.grace < std::chrono::nanoseconds::zero()) throw std::invalid_argument("process_pool: a negative grace");
  settings.grace = options.grace;
  settings.program = options.program;
  settings.initializer = initializer;
  settings.initializer_arguments = std::move(arguments);
  settings.initializer_handles = std::move(handles);
  core_ = std::make_shared<detail::pool_core>(std::move(settings));
  core_->open();
}

process_pool::~process_pool() {
  if (core_ != nullptr) core_->release_handle();
}

int process_pool::concurrency() const { return core_->workers(); }
void process_pool::shutdown(shutdown_mode mode) { core_->shutdown(mode); }
std::unique_ptr<executor> process_pool::share() { return std::unique_ptr<executor>(new process_pool(id(), core_)); }
void process_pool::resize(int workers) { core_->resize(checked_workers(workers)); }
process_pool_stats process_pool::stats() const { return core_->stats(); }
std::vector<int> process_pool::pids() const { return core_->pids(); }
void process_pool::start(call work) { core_->start(std::move(work)); }

}  // namespace tutti
