// sqlite_results: the result store of one machine, in a database file, "sqlite:PATH".
#pragma once
#include <tutti/cluster/result_store.hpp>

#include <memory>

namespace tutti::cluster {

/// The file is made when it is first used, and may be that of the broker. Any number of processes of this machine share
/// it; see sqlite_database for what survives what.
[[nodiscard]] std::shared_ptr<result_store> make_sqlite_results(const broker_url& where, const broker_options& options);

}  // namespace tutti::cluster
