// sqlite_consumer: takes messages from a database file.
#pragma once
#include <tutti/cluster/broker.hpp>

#include <memory>
#include <string>
#include <vector>

namespace tutti::cluster {

/// Has a thread that renews its lease. Throws broker_error.
[[nodiscard]] std::unique_ptr<consumer> make_sqlite_consumer(const std::string& path, const broker_options& options,
                                                             const std::string& name, std::vector<std::string> queues);

}  // namespace tutti::cluster
