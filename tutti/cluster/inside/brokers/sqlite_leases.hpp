// sqlite_leases: which consumers of a database file live, and what becomes of what the dead ones held.
#pragma once
#include <tutti/cluster/inside/brokers/sqlite_database.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace tutti::cluster::detail {

// For use inside sqlite_database::write(). A consumer is dead when its lease has ended, or its process, as far as that
// can be seen from here: not from another container. Leases are told by the time since boot, which nobody sets.

/// A consumer of this process: its number.
[[nodiscard]] std::int64_t take_lease(sqlite_database& database, const std::string& name,
                                      std::chrono::milliseconds lease);
/// It lives. False when it was taken for dead.
[[nodiscard]] bool renew_lease(sqlite_database& database, std::int64_t consumer, std::chrono::milliseconds lease);
/// How long its lease still lasts; negative when it has ended or there is none.
[[nodiscard]] std::chrono::milliseconds lease_left(sqlite_database& database, std::int64_t consumer);
/// What a consumer held is ready again; `died`: that counts as returned.
void end_lease(sqlite_database& database, std::int64_t consumer, bool died);
/// Ends those of the dead: with `by_lease` also of those whose process may live. Whether there was one.
bool end_dead_leases(sqlite_database& database, bool by_lease);

/// Since boot, sleep of the machine left out.
[[nodiscard]] std::int64_t milliseconds_since_boot() noexcept;

}  // namespace tutti::cluster::detail
