#include <tutti/cluster/inside/worker/revocations.hpp>

#include <tutti/base/error.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <charconv>

namespace tutti::cluster {

void revocations::add(const std::string& id, wall_time when) {
  const std::lock_guard lock(mutex_);
  add_locked(id, when);
}

void revocations::add_locked(const std::string& id, wall_time when) {
  if (id.empty()) return;
  const auto [at, is_new] = when_.try_emplace(id, when);
  if (is_new) {
    order_.push_back(id);
  } else if (at->second < when) {
    at->second = when;
  }
  while (order_.size() > most) {
    when_.erase(order_.front());
    order_.pop_front();
  }
  size_.store(order_.size(), std::memory_order_release);
}

bool revocations::contains(const std::string& id, wall_time now) const {
  if (size_.load(std::memory_order_acquire) == 0) return false;
  const std::lock_guard lock(mutex_);
  const auto found = when_.find(id);
  return found != when_.end() && now - found->second < kept;
}

std::vector<std::string> revocations::ids(wall_time now) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> all;
  for (const std::string& id : order_) {
    if (now - when_.at(id) < kept) all.push_back(id);
  }
  return all;
}

std::string revocations::text() const {
  const wall_time now = std::chrono::system_clock::now();
  std::vector<std::pair<std::string, std::string>> members;
  const std::lock_guard lock(mutex_);
  for (const std::string& id : order_) {
    const wall_time when = when_.at(id);
    if (now - when >= kept) continue;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count();
    members.emplace_back(id, std::to_string(seconds));
  }
  return join_object(members);
}

void revocations::merge(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> members;
  try {
    members = object_parts(text);
  } catch (const error&) {
    return;
  }
  const wall_time now = std::chrono::system_clock::now();
  const std::lock_guard lock(mutex_);
  for (const auto& [id, json] : members) {
    std::int64_t seconds = 0;
    const auto [end, wrong] = std::from_chars(json.data(), json.data() + json.size(), seconds);
    if (wrong != std::errc() || end != json.data() + json.size() || seconds < 0 || seconds > 32'503'680'000) continue;
    const wall_time when{std::chrono::seconds(seconds)};
    if (now - when < kept) add_locked(id, when);
  }
}

}  // namespace tutti::cluster
