#include <tutti/cluster/inside/brokers/sqlite_messages.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace tutti::cluster::detail {
namespace {

constexpr std::int64_t bytes_at_once = 4 << 20;  // that a consumer is given

std::optional<std::int64_t> number_of(const std::optional<int>& value) {
  return value ? std::optional<std::int64_t>(*value) : std::nullopt;
}

// Of a tag: message, consumer, turn; nothing: it is none of ours.
std::optional<std::array<std::int64_t, 3>> parts_of(std::string_view tag) noexcept {
  std::array<std::int64_t, 3> part{};
  const char* from = tag.data();
  const char* const end = from + tag.size();
  for (std::int64_t& one : part) {
    const auto [stopped, code] = std::from_chars(from, end, one);
    if (code != std::errc()) return {};
    from = stopped == end ? end : stopped + 1;
  }
  return part;
}

}  // namespace

std::int64_t milliseconds_of(wall_time when) noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
}

void insert_messages(sqlite_database& database, std::span<const outgoing_message> messages) {
  const wall_time now = std::chrono::system_clock::now();
  for (const outgoing_message& message : messages) {
    database.run("INSERT INTO message(queue, priority, text) VALUES(?, ?, ?)", message.queue,
                 number_of(message.priority), message.text);
    const std::int64_t id = database.last_id();
    if (message.due && *message.due > now) {
      // Rounded up: nothing is had before its time.
      database.run("INSERT INTO delayed VALUES(?, ?, ?)", milliseconds_of(*message.due) + 1, id, message.queue);
    } else {
      database.run("INSERT INTO ready VALUES(?, ?, ?)", message.queue,
                   9 - std::clamp(message.priority.value_or(9), 0, 9), id);
    }
  }
}

void move_due(sqlite_database& database) {
  const std::int64_t now = milliseconds_of(std::chrono::system_clock::now());
  const std::int64_t moved = database.run(
      "INSERT INTO ready SELECT d.queue, 9 - min(max(coalesce(m.priority, 9), 0), 9), d.id"
      " FROM (SELECT * FROM delayed WHERE due <= ? ORDER BY due, id LIMIT 1000) d JOIN message m ON m.id = d.id",
      now);
  if (moved != 0)
    database.run(
        "DELETE FROM delayed WHERE (due, id) IN (SELECT due, id FROM delayed WHERE due <= ? ORDER BY due, id"
        " LIMIT 1000)",
        now);
}

void take_messages(sqlite_database& database, const std::string& queue, std::size_t most, std::int64_t consumer,
                   std::int64_t& turn, std::vector<delivery>& taken) {
  if (taken.size() >= most) return;
  std::int64_t left = bytes_at_once;
  for (const delivery& one : taken) left -= static_cast<std::int64_t>(one.text.size());
  const std::size_t first = taken.size();
  std::int64_t level = 0, id = 0;
  {
    sqlite_rows rows = database.query(
        "SELECT r.level, r.id, m.text, m.priority, m.returned FROM ready r JOIN message m ON m.id = r.id"
        " WHERE r.queue = ? ORDER BY r.level, r.id LIMIT ?",
        queue, static_cast<std::int64_t>(std::min<std::size_t>(most - first, 1'000'000)));
    while (left > 0 && rows.next()) {
      level = rows.number(0);
      id = rows.number(1);
      database.run("INSERT INTO held VALUES(?, ?, ?, ?)", id, consumer, ++turn, queue);
      delivery one{std::to_string(id) + '.' + std::to_string(consumer) + '.' + std::to_string(turn),
                   queue,
                   rows.text(2),
                   {},
                   static_cast<int>(rows.number(4))};
      if (rows.has(3)) one.priority = static_cast<int>(rows.number(3));
      left -= static_cast<std::int64_t>(one.text.size());
      taken.push_back(std::move(one));
    }
  }
  if (taken.size() != first)
    database.run("DELETE FROM ready WHERE queue = ? AND (level, id) <= (?, ?)", queue, level, id);
}

std::int64_t holder_of(std::string_view tag) noexcept {
  const auto part = parts_of(tag);
  return part ? (*part)[1] : 0;
}

bool is_held(sqlite_database& database, std::string_view tag) {
  const auto part = parts_of(tag);
  return part && database.number("SELECT EXISTS(SELECT 1 FROM held WHERE id = ? AND consumer = ? AND turn = ?)",
                                 (*part)[0], (*part)[1], (*part)[2]) != 0;
}

bool settle_message(sqlite_database& database, const settlement& settled) {
  const auto of = parts_of(settled.tag);
  if (!of) return false;
  const std::array<std::int64_t, 3>& part = *of;
  if (database.run("DELETE FROM held WHERE id = ? AND consumer = ? AND turn = ?", part[0], part[1], part[2]) == 0)
    return false;
  if (settled.give_back) {
    // With its old number it is in front of all that was sent later.
    database.run(
        "INSERT INTO ready SELECT queue, 9 - min(max(coalesce(priority, 9), 0), 9), id FROM message WHERE id = ?",
        part[0]);
  } else {
    database.run("DELETE FROM message WHERE id = ?", part[0]);
  }
  insert_messages(database, settled.follow);
  return true;
}

wall_time next_due(sqlite_database& database) {
  sqlite_rows rows = database.query("SELECT min(due) FROM delayed");
  if (!rows.next() || !rows.has(0)) return wall_time::max();
  return wall_time(std::chrono::milliseconds(rows.number(0)));
}

}  // namespace tutti::cluster::detail
