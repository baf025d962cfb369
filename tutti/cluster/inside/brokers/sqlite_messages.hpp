// sqlite_messages: the steps that the embedded broker's transactions are made of.
#pragma once
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/brokers/sqlite_database.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tutti::cluster::detail {

// For use inside sqlite_database::write().

void insert_messages(sqlite_database& database, std::span<const outgoing_message> messages);
/// Those that are due can be had. A thousand at most, so that others get their turn.
void move_due(sqlite_database& database);
/// Takes up to `most` of a queue for a consumer; `turn` is counted on for each.
void take_messages(sqlite_database& database, const std::string& queue, std::size_t most, std::int64_t consumer,
                   std::int64_t& turn, std::vector<delivery>& taken);
/// False when it is not held any more: it was settled before, or its consumer was taken for dead.
bool settle_message(sqlite_database& database, const settlement& settled);
/// Whether it is still held; for use inside read(), too.
bool is_held(sqlite_database& database, std::string_view tag);
/// The consumer that a tag is of; 0 when it is no tag.
[[nodiscard]] std::int64_t holder_of(std::string_view tag) noexcept;

/// For use inside read(), too: when the next one is due; max() when none waits for its time.
[[nodiscard]] wall_time next_due(sqlite_database& database);
/// Milliseconds since 1970.
[[nodiscard]] std::int64_t milliseconds_of(wall_time when) noexcept;

}  // namespace tutti::cluster::detail
