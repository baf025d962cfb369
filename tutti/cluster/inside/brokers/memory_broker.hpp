// memory_broker: the broker inside one process, "memory://NAME".
#pragma once
#include <tutti/cluster/broker.hpp>

#include <memory>

namespace tutti::cluster {

/// The one of this process that has the name `where.path`; made when nobody holds it, and gone with its last holder,
/// together with what waits in it. Its consumers live in this process, so leases mean nothing to it; it is never away.
[[nodiscard]] std::shared_ptr<broker> make_memory_broker(const broker_url& where);

}  // namespace tutti::cluster
