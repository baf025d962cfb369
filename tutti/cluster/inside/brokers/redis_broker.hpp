// redis_broker: queues in Redis, in the lists that Celery uses, with leases of our own for what is held.
#pragma once
#include <tutti/cluster/broker.hpp>

#include <memory>

namespace tutti::cluster {

/// The broker in the Redis at `where` (redis:// or redis+socket://), version 6.2 or later. Connects when it is first
/// used.
[[nodiscard]] std::shared_ptr<broker> make_redis_broker(const broker_url& where, const broker_options& options);

}  // namespace tutti::cluster
