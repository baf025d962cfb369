// redis_clients: the connections of those who ask Redis for something and want it soon, or an error.
#pragma once
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/brokers/redis_connection.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace tutti::cluster::detail {

/// A connection with what one who publishes has to know of it.
struct redis_client {
  redis_client(const broker_url& where, std::chrono::milliseconds patience,
               std::span<const redis_script* const> scripts);

  redis_connection connection;
  const std::string name;      ///< a UUID
  std::int64_t published = 0;  ///< how many batches were begun; Redis keeps the last one that it has, under our name
  std::set<std::string> declared;  ///< queues that Redis knows of from us
  std::set<std::string> lists;     ///< that took something from us
};

/// Connections that are made when they are needed and kept for the next one. Thread-safe.
class redis_clients {
 public:
  redis_clients(broker_url where, broker_options options, std::vector<const redis_script*> scripts);

  /// Calls `work` with an open connection for itself, again when that is lost, until the time is up. Throws what it
  /// throws; broker_error when the time is up.
  void run(const std::function<void(redis_client&)>& work);

  [[nodiscard]] const broker_url& where() const noexcept { return where_; }
  [[nodiscard]] const broker_options& options() const noexcept { return options_; }

 private:
  std::unique_ptr<redis_client> take();
  void give_back(std::unique_ptr<redis_client> client);

  const broker_url where_;
  const broker_options options_;
  const std::vector<const redis_script*> scripts_;
  std::mutex mutex_;
  std::uint32_t forks_;  // when those below were made: in a child they are its parent's
  std::vector<std::unique_ptr<redis_client>> idle_;
};

/// How long to wait before the next attempt: longer each time, up to half a second.
class redis_backoff {
 public:
  [[nodiscard]] std::chrono::milliseconds next() noexcept;
  void reset() noexcept { next_ = std::chrono::milliseconds(5); }

 private:
  std::chrono::milliseconds next_{5};
};

}  // namespace tutti::cluster::detail
