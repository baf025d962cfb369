// control_envelope: kombu's envelope for what is no task, and the clock.
#include <tutti/cluster/control/control_envelope.hpp>

#include <tutti/base/error.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <fmt/format.h>

#include <atomic>
#include <cmath>

namespace tutti::cluster {
namespace {

std::atomic<std::uint64_t>& lamport() noexcept {
  static std::atomic<std::uint64_t> value{0};
  return value;
}

// A clock beyond this is nonsense that would soon overflow everybody's.
constexpr std::uint64_t latest_clock = std::uint64_t{1} << 60;

}  // namespace

std::string wrap_control(std::string_view body, const json_members& headers, std::string_view exchange,
                         std::string_view routing_key) {
  const std::string delivery_info =
      join_object({{"exchange", json_string(exchange)}, {"routing_key", json_string(routing_key)}});
  const std::string properties = join_object({{"delivery_mode", "1"},
                                              {"delivery_info", delivery_info},
                                              {"priority", "0"},
                                              {"body_encoding", "\"base64\""},
                                              {"delivery_tag", json_string(new_uuid())}});
  return join_object({{"body", json_string(base64(body))},
                      {"content-encoding", "\"utf-8\""},
                      {"content-type", "\"application/json\""},
                      {"headers", join_object(headers)},
                      {"properties", properties}});
}

control_envelope unwrap_control(std::string_view text) {
  const json_members parts = object_parts(text);
  const std::string type = string_in(member_of(parts, "content-type")).value_or("");
  if (type != "application/json") throw decode_error("the content-type is \"" + type + "\", not application/json", 0);
  const std::optional<std::string> body = string_in(member_of(parts, "body"));
  if (!body) throw decode_error("there is no body", 0);
  control_envelope found;
  if (const std::string headers = member_of(parts, "headers"); headers != "null") found.headers = object_parts(headers);
  const std::string properties = member_of(parts, "properties");
  const std::string encoding = properties == "null" ? "null" : member_of(object_parts(properties), "body_encoding");
  found.body = string_in(encoding) == "base64" ? from_base64(*body) : *body;
  return found;
}

std::string member_of(const json_members& members, std::string_view name) {
  for (const auto& [key, value] : members) {
    if (key == name) return value;
  }
  return "null";
}

std::string json_number(double value) {
  if (!std::isfinite(value)) return "0";
  std::string text = fmt::format("{}", value);
  // Python tells 2 and 2.0 apart.
  if (text.find_first_of(".e") == text.npos) text += ".0";
  return text;
}

double unix_seconds(std::chrono::system_clock::time_point when) {
  return std::chrono::duration<double>(when.time_since_epoch()).count();
}

std::uint64_t control_clock::forward() noexcept { return lamport().fetch_add(1, std::memory_order_relaxed) + 1; }

void control_clock::adjust(std::uint64_t heard) noexcept {
  if (heard > latest_clock) return;
  std::uint64_t before = lamport().load(std::memory_order_relaxed);
  while (!lamport().compare_exchange_weak(before, std::max(before, heard) + 1, std::memory_order_relaxed)) {
  }
}

std::uint64_t control_clock::now() noexcept { return lamport().load(std::memory_order_relaxed); }

}  // namespace tutti::cluster
