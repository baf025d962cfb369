// memory_results: the result store inside one process, "memory://NAME".
#pragma once
#include <tutti/cluster/result_store.hpp>

#include <memory>

namespace tutti::cluster {

/// The one of this process that has the name `where.path`; made when nobody holds it, and gone with its last holder,
/// together with what is in it. It is never away.
[[nodiscard]] std::shared_ptr<result_store> make_memory_results(const broker_url& where);

}  // namespace tutti::cluster
