// wire_text: small texts of the protocol: base64, moments, random numbers.
#pragma once
#include <tutti/cluster/message.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace tutti::cluster {

[[nodiscard]] std::string base64(std::string_view bytes);
/// Throws decode_error.
[[nodiscard]] std::string from_base64(std::string_view text);
/// ISO 8601 in UTC with microseconds: "2026-01-31T12:00:00.250000+00:00".
[[nodiscard]] std::string iso_time(wall_time when);
/// ISO 8601 with or without fraction and offset (none: UTC, as Celery has it). Throws decode_error.
[[nodiscard]] wall_time from_iso_time(std::string_view text);
/// A new UUID, version 4. Thread-safe; different in a forked child.
[[nodiscard]] std::string new_uuid();
/// "PID@HOST".
[[nodiscard]] std::string process_name();

}  // namespace tutti::cluster
