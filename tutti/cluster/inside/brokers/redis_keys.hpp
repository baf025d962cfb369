// redis_keys: under which names things are in Redis: Celery's where it has one, else ours, which begin with "tutti:".
#pragma once
#include <tutti/cluster/broker.hpp>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tutti::cluster::detail {

inline constexpr std::string_view redis_separator = "\x06\x16";  // kombu's

inline constexpr std::string_view consumers_key = "tutti:consumers";  // zset: consumer -> end of its lease
inline constexpr std::string_view later_key = "tutti:later";          // zset: QUEUE'S LIST \n TOKEN -> when it is due
inline constexpr std::string_view later_texts_key = "tutti:later:texts";  // hash: the same -> record
inline constexpr std::string_view queues_key = "tutti:queues";            // set: names
inline constexpr std::string_view bindings_key = "_kombu.binding.";  // + exchange; set: routing key, pattern, queue
inline constexpr std::string_view reply_exchange = "reply.celery.pidbox";

/// hash: tag -> record, of what a consumer holds. A tag is `NUMBER LIST`, a record `LENGTH:RETURNED:LIST` and the text,
/// LENGTH being that of the list's name.
[[nodiscard]] std::string held_key(std::string_view consumer);

/// The list of a queue for messages of this priority, 0 to 9, bigger is sooner.
[[nodiscard]] std::string list_key(std::string_view queue, std::optional<int> priority);
/// All lists of a queue, the soonest first.
[[nodiscard]] std::array<std::string, 4> list_keys(std::string_view queue);
/// The queue and the priority that a list stands for.
struct list_meaning {
  std::string queue;
  std::optional<int> priority;
};
[[nodiscard]] list_meaning meaning_of_list(std::string_view key);

/// The member of an exchange's bindings.
[[nodiscard]] std::string binding_of(std::string_view routing_key, std::string_view queue);
/// The routing key and the queue of such a member.
[[nodiscard]] std::pair<std::string, std::string> parts_of_binding(std::string_view member);

/// A record again.
struct held_record {
  std::string_view list;
  int returned = 0;
  std::string_view text;
};
[[nodiscard]] held_record parse_record(std::string_view record) noexcept;

/// `text` without the count of its returns, which the broker adds in front.
[[nodiscard]] std::string_view without_returns(std::string_view element, std::string& kept);

/// The channel of broadcasts in a database, as kombu names it.
[[nodiscard]] std::string fanout_channel(int database, std::string_view channel);

}  // namespace tutti::cluster::detail
