// sqlite_broker: the broker of one machine, in a database file, "sqlite:PATH".
#pragma once
#include <tutti/cluster/broker.hpp>

#include <memory>

namespace tutti::cluster {

/// The file is made when it is first used. Any number of processes of this machine share it, and each of them may be
/// killed at any time; see sqlite_database for what survives what.
[[nodiscard]] std::shared_ptr<broker> make_sqlite_broker(const broker_url& where, const broker_options& options);

}  // namespace tutti::cluster
