// Makes this module's executors known to make_executor, and the task behind them to workers, in every program that
// links it.
#include <tutti/cluster/call_task.hpp>
#include <tutti/cluster/cluster_pool.hpp>
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

}  // namespace
}  // namespace tutti::cluster
