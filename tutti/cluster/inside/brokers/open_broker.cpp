#include <tutti/base/error.hpp>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/brokers/memory_broker.hpp>
#include <tutti/cluster/inside/brokers/redis_broker.hpp>
#include <tutti/cluster/inside/brokers/sqlite_broker.hpp>

namespace tutti::cluster {

std::shared_ptr<broker> open_broker(const broker_url& where, const broker_options& options) {
  if (where.scheme == "memory") return make_memory_broker(where);
  if (where.scheme == "sqlite") return make_sqlite_broker(where, options);
  if (where.scheme == "redis" || where.scheme == "redis+socket") return make_redis_broker(where, options);
  throw bad_spec("no broker for \"" + where.scheme + ":\"; known: redis://, redis+socket://, sqlite:, memory://");
}

}  // namespace tutti::cluster
