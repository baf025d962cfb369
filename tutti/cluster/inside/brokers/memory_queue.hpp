// memory_queue: one queue of the broker inside a process: what can be had, what is not due yet, how much is held.
#pragma once
#include <tutti/cluster/broker.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace tutti::cluster::detail {

/// Not thread-safe.
class memory_queue {
 public:
  /// Sooner ones are less. A message keeps its place for life, so what is given back is in front of all that waits
  /// longer to be taken.
  struct place {
    int behind = 0;  // levels behind the soonest
    std::uint64_t number = 0;
    auto operator<=>(const place&) const = default;
  };
  struct parked {
    std::string text;
    std::optional<int> priority;
    int returned = 0;
  };
  using item = std::map<place, parked>::node_type;

  void add(const outgoing_message& message, std::uint64_t number) {
    const place where{9 - std::clamp(message.priority.value_or(9), 0, 9), number};
    auto& waiting = message.due && *message.due > std::chrono::system_clock::now() ? delayed_[*message.due] : ready_;
    waiting.emplace_hint(waiting.end(), where, parked{message.text, message.priority});
  }
  /// Empty when there is none.
  item take() {
    move_due();
    item taken = ready_.empty() ? item() : ready_.extract(ready_.begin());
    if (!taken.empty()) ++held_;
    return taken;
  }
  void give_back(item taken) {
    --held_;
    ready_.insert(std::move(taken));
  }
  void settled() noexcept { --held_; }

  /// When the next one is due; max() when none waits for its time.
  wall_time next_due() const { return delayed_.empty() ? wall_time::max() : delayed_.begin()->first; }

  queue_info info(const std::string& name) {
    move_due();
    queue_info result{name, ready_.size(), held_, 0};
    for (const auto& [due, messages] : delayed_) result.delayed += messages.size();
    return result;
  }
  std::vector<std::string> peek(std::size_t most) {
    move_due();
    std::vector<std::string> result;
    for (auto i = ready_.begin(); i != ready_.end() && result.size() < most; ++i) result.push_back(i->second.text);
    return result;
  }
  std::uint64_t purge() {
    const std::uint64_t before = info({}).waiting + info({}).delayed;
    ready_.clear();
    delayed_.clear();
    return before;
  }

 private:
  void move_due() {
    if (delayed_.empty()) return;
    const auto now = std::chrono::system_clock::now();
    while (!delayed_.empty() && delayed_.begin()->first <= now) {
      ready_.merge(delayed_.begin()->second);
      delayed_.erase(delayed_.begin());
    }
  }

  std::map<place, parked> ready_;
  std::map<wall_time, std::map<place, parked>> delayed_;  // none of them empty
  std::uint64_t held_ = 0;
};

}  // namespace tutti::cluster::detail
