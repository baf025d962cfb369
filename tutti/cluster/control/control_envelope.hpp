// control_envelope: how remote control, its answers and events travel: kombu's envelope, in JSON, and a shared clock.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// The members of a JSON object, each a JSON text, by name.
using json_members = std::vector<std::pair<std::string, std::string>>;

/// `body`, a JSON text, in an envelope for a queue or a channel. Thread-safe.
[[nodiscard]] std::string wrap_control(std::string_view body, const json_members& headers, std::string_view exchange,
                                       std::string_view routing_key);

/// What is in an envelope.
struct control_envelope {
  std::string body;  ///< JSON
  json_members headers;
};

/// Opens an envelope. Throws decode_error for one that is no JSON, or whose body is in another format.
[[nodiscard]] control_envelope unwrap_control(std::string_view text);

/// The member of that name, or "null".
[[nodiscard]] std::string member_of(const json_members& members, std::string_view name);

/// A number as JSON; "0" for what JSON has no number for.
[[nodiscard]] std::string json_number(double value);
/// Seconds since 1970, as Python counts them.
[[nodiscard]] double unix_seconds(std::chrono::system_clock::time_point when);

/// This process's Lamport clock: orders what workers tell. Thread-safe.
struct control_clock {
  /// The next value.
  [[nodiscard]] static std::uint64_t forward() noexcept;
  /// Another one's value was heard: ours is later.
  static void adjust(std::uint64_t heard) noexcept;
  /// Its value, which stays.
  [[nodiscard]] static std::uint64_t now() noexcept;
};

}  // namespace tutti::cluster
