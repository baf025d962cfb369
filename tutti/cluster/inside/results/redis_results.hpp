// redis_results: results in Redis, under the keys and on the channels that Celery uses.
#pragma once
#include <tutti/cluster/result_store.hpp>

#include <memory>

namespace tutti::cluster {

/// The store in the Redis at `where` (redis:// or redis+socket://), version 6.2 or later. Connects when it is first
/// used.
[[nodiscard]] std::shared_ptr<result_store> make_redis_results(const broker_url& where, const broker_options& options);

}  // namespace tutti::cluster
