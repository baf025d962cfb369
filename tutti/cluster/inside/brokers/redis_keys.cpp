#include <tutti/cluster/inside/brokers/redis_keys.hpp>

#include <algorithm>
#include <charconv>

namespace tutti::cluster::detail {

std::string held_key(std::string_view consumer) { return "tutti:held:" + std::string(consumer); }

std::array<std::string, 4> list_keys(std::string_view queue) {
  const std::string stem = std::string(queue) + std::string(redis_separator);
  return {std::string(queue), stem + "3", stem + "6", stem + "9"};
}

std::string list_key(std::string_view queue, std::optional<int> priority) {
  // On the wire 0 is the soonest, and Celery has a list for each three of them.
  const int wire = priority ? 9 - std::clamp(*priority, 0, 9) : 0;
  return list_keys(queue)[static_cast<std::size_t>(wire / 3)];
}

list_meaning meaning_of_list(std::string_view key) {
  const std::size_t at = key.rfind(redis_separator);
  if (at == std::string_view::npos || at + redis_separator.size() + 1 != key.size()) return {std::string(key), {}};
  return {std::string(key.substr(0, at)), 9 - (key.back() - '0')};
}

std::string binding_of(std::string_view routing_key, std::string_view queue) {
  std::string member(routing_key);
  member += redis_separator;
  member += redis_separator;
  member += queue;
  return member;
}

std::pair<std::string, std::string> parts_of_binding(std::string_view member) {
  const std::size_t first = member.find(redis_separator), last = member.rfind(redis_separator);
  if (first == std::string_view::npos) return {};
  return {std::string(member.substr(0, first)), std::string(member.substr(last + redis_separator.size()))};
}

held_record parse_record(std::string_view record) noexcept {
  held_record result;
  std::size_t length = 0;
  const char* const begin = record.data();
  const char* const end = begin + record.size();
  const auto [after_length, length_is] = std::from_chars(begin, end, length);
  if (length_is != std::errc() || after_length == end) return result;
  const auto [after, returned_is] = std::from_chars(after_length + 1, end, result.returned);
  if (returned_is != std::errc() || static_cast<std::size_t>(end - after) < length + 1) return result;
  result.list = std::string_view(after + 1, length);
  result.text = std::string_view(after + 1 + length, static_cast<std::size_t>(end - after) - 1 - length);
  return result;
}

std::string_view without_returns(std::string_view element, std::string& kept) {
  constexpr std::string_view mark = "{\"tutti-returned\":";
  if (!element.starts_with(mark)) return element;
  const std::size_t at = element.find(',', mark.size());
  const std::string_view count = element.substr(mark.size(), at - mark.size());  // as the scripts read it
  if (at == std::string_view::npos || count.empty() || count.size() > 6) return element;
  if (count.find_first_not_of("0123456789") != std::string_view::npos) return element;
  kept = "{" + std::string(element.substr(at + 1));
  return kept;
}

std::string fanout_channel(int database, std::string_view channel) {
  return "/" + std::to_string(database) + "." + std::string(channel);
}

}  // namespace tutti::cluster::detail
