// eager_results: what an eager app keeps instead of a result store.
#pragma once
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace tutti::cluster {

// Results by id until they expire, the last `most` of them. Not thread-safe.
class eager_results {
 public:
  using clock = std::chrono::steady_clock;
  explicit eager_results(std::size_t most = 1'000'000) : most_(most) {}

  // `expires`: 0: never.
  void store(const std::string& id, std::string text, std::chrono::seconds expires, clock::time_point now) {
    const auto [at, is_new] = all_.try_emplace(id);
    if (is_new) order_.push_back(id);
    at->second = {std::move(text), expires > expires.zero() ? now + expires : clock::time_point::max()};
    if (order_.size() > most_) drop_oldest();
    while (!order_.empty() && is_gone(order_.front(), now)) drop_oldest();
  }
  [[nodiscard]] std::optional<std::string> find(const std::string& id, clock::time_point now) const {
    const auto found = all_.find(id);
    if (found == all_.end() || found->second.until <= now) return std::nullopt;
    return found->second.text;
  }
  void forget(const std::string& id) { all_.erase(id); }
  [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }

 private:
  struct kept {
    std::string text;
    clock::time_point until;
  };
  [[nodiscard]] bool is_gone(const std::string& id, clock::time_point now) const {
    const auto found = all_.find(id);
    return found == all_.end() || found->second.until <= now;
  }
  void drop_oldest() {
    all_.erase(order_.front());
    order_.pop_front();
  }

  const std::size_t most_;
  std::map<std::string, kept> all_;
  std::deque<std::string> order_;  // as they came; also of some that were forgotten since
};

}  // namespace tutti::cluster
