// channel_pattern: how the embedded brokers name who hears what: broadcasts and answers in one space.
#pragma once
#include <string>
#include <string_view>

namespace tutti::cluster::detail {

inline std::string broadcast_channel(std::string_view channel) { return "broadcast/" + std::string(channel); }
inline std::string answer_channel(std::string_view exchange, std::string_view routing_key) {
  std::string name = "answer/";
  name += exchange;
  name += '/';
  return name += routing_key;
}

/// Whether who listens to `pattern` hears `channel`: they are equal, or what is before a `*` at the end is its
/// beginning.
inline bool channel_matches(std::string_view pattern, std::string_view channel) {
  if (!pattern.ends_with('*')) return channel == pattern;
  pattern.remove_suffix(1);
  return channel.starts_with(pattern);
}

}  // namespace tutti::cluster::detail
