#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/results/memory_results.hpp>
#include <tutti/cluster/inside/results/redis_results.hpp>
#include <tutti/cluster/inside/results/sqlite_results.hpp>
#include <tutti/cluster/result_store.hpp>

namespace tutti::cluster {

std::shared_ptr<result_store> open_result_store(const broker_url& where, const broker_options& options) {
  if (where.scheme == "memory") return make_memory_results(where);
  if (where.scheme == "sqlite") return make_sqlite_results(where, options);
  if (where.scheme == "redis" || where.scheme == "redis+socket") return make_redis_results(where, options);
  throw bad_spec("no result store for \"" + where.scheme + ":\"; known: redis://, redis+socket://, sqlite:, memory://");
}

}  // namespace tutti::cluster
