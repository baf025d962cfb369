// Makes this module's executors known to make_executor, the task behind them to workers, and its worker to init, in
// every program that links it.
#include <tutti/base/init.hpp>
#include <tutti/cluster/call_task.hpp>
#include <tutti/cluster/cluster_pool.hpp>
#include <tutti/cluster/worker_flags.hpp>
#include <tutti/core/make_executor.hpp>

namespace tutti::cluster {
namespace {

const bool registered = [] {
  constexpr std::string_view module = "tutti::cluster";
  register_executor(
      {"redis", "redis://", module, "workers behind a Redis server, Celery's protocol", make_cluster_pool, nullptr});
  register_executor({"redis+socket", "redis+socket://", module, "the same through a socket of this machine",
                     make_cluster_pool, nullptr});
  register_executor({"sqlite", "sqlite:", module, "workers of this machine behind a file", make_cluster_pool, nullptr});
  register_executor(
      {"memory", "memory://", module, "a worker of this process, as if it were elsewhere", make_cluster_pool, nullptr});
  return true;
}();

const task_registration calls(call_task());

const worker_main from_command_line{"cluster", run_worker_from_flags};

}  // namespace
}  // namespace tutti::cluster
