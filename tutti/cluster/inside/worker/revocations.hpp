// revocations: the tasks that are not to be run any more, as far as a worker remembers.
#pragma once
#include <tutti/cluster/message.hpp>

#include <atomic>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// A set of ids that forgets the oldest beyond `most`, and those of more than 30 days ago. Thread-safe.
class revocations {
 public:
  static constexpr std::size_t most = 50'000;
  static constexpr std::chrono::hours kept{24 * 30};
  /// Under which a result store keeps them, so that they outlive all workers.
  static constexpr const char* stored_as = "tutti-revoked";

  void add(const std::string& id, wall_time when);
  [[nodiscard]] bool contains(const std::string& id, wall_time now) const;
  [[nodiscard]] std::vector<std::string> ids(wall_time now) const;

  /// As JSON: an object of seconds since 1970 by id.
  [[nodiscard]] std::string text() const;
  /// Adds what text() gave; what is no such text is passed over.
  void merge(std::string_view text);

 private:
  void add_locked(const std::string& id, wall_time when);

  // `order_` has each id of `when_` once, the oldest first as they were heard of; size_ is their number, so that who
  // asks while there are none needs no lock.
  mutable std::mutex mutex_;
  std::unordered_map<std::string, wall_time> when_;
  std::deque<std::string> order_;
  std::atomic<std::size_t> size_{0};
};

}  // namespace tutti::cluster
