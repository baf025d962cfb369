// redis_keeper: keeps a consumer's lease, takes care of what dead ones held, and hands out what is due.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/brokers/broker_link.hpp>
#include <tutti/cluster/inside/brokers/redis_connection.hpp>

namespace tutti::cluster::detail {

/// A thread with a connection of its own, from its construction to its destruction. Thread-safe.
class redis_keeper {
 public:
  /// `back`: called, on its thread, when it could not reach Redis for a while and now can; `kept`: each time that the
  /// lease was renewed, before it is sure again, with whether that was so late that it may have ended, and the last tag
  /// that others have taken from us; 0: none.
  redis_keeper(const broker_url& where, std::string consumer, std::chrono::milliseconds lease, broker_link& link,
               std::function<void()> back, std::function<void(bool, std::int64_t)> kept);
  ~redis_keeper();
  redis_keeper(const redis_keeper&) = delete;
  redis_keeper& operator=(const redis_keeper&) = delete;

  /// Something is due at `when`, in ms by Redis' clock.
  void expect(std::int64_t when);
  /// Whether the lease cannot have ended yet, by our clock.
  [[nodiscard]] bool is_lease_sure() const noexcept { return since_boot() < sure_until_.load(); }
  /// How often it has lapsed.
  [[nodiscard]] std::uint64_t lapses() const noexcept { return lapses_.load(); }

 private:
  using clock = std::chrono::steady_clock;
  /// Milliseconds, also those in which the machine was suspended, which steady_clock does not count.
  [[nodiscard]] static std::int64_t since_boot() noexcept;
  void run();
  // When to come again.
  clock::time_point keep();
  [[nodiscard]] clock::time_point moment_of(std::int64_t redis_ms) const;

  const std::string name_;  // of the broker, without its password
  const std::string consumer_;
  const std::chrono::milliseconds lease_;
  broker_link& link_;
  const std::function<void()> back_;
  const std::function<void(bool, std::int64_t)> kept_;
  // A lapse is told before the lease is sure again: who finds it sure has heard of those before.
  std::atomic<std::int64_t> sure_until_{0};  // since_boot()
  std::atomic<std::uint64_t> lapses_{0};

  // Only of the thread. What Redis' clock said at a moment of ours: others are called dead only while the two clocks
  // agree and a whole lease has passed since all could reach Redis again.
  redis_connection connection_;
  clock::time_point trusted_from_{};
  clock::time_point asked_{};

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::int64_t soonest_ = -1;   // due, in ms by Redis' clock; -1: nothing
  std::int64_t redis_now_ = 0;  // at asked_; 0: never asked
  std::thread thread_;
};

}  // namespace tutti::cluster::detail
