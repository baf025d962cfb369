// pool: the connections of a client, which are kept for the next request to the same place.
#pragma once
#include <tutti/core/timers.hpp>
#include <tutti/io/http/connection.hpp>
#include <tutti/io/http/url.hpp>
#include <tutti/sync/semaphore.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tutti::io::http::detail {

class lease;

/// All on the loop of the first request. Its leases keep it.
class pool : public std::enable_shared_from_this<pool> {
 public:
  /// `most`: connections to a place; `most_idle` in all are kept, for the time of `keep`.
  pool(int most, std::size_t most_idle, std::chrono::nanoseconds keep)
      : most_(most), most_idle_(most_idle), keep_(keep) {}
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;
  ~pool() { eviction_.cancel(); }

  /// Throws std::logic_error unless this code runs on its loop. Any thread.
  void check_loop();
  /// Awaits a place for a connection to `origin` ("http://host:port"). Throws timed_out.
  task<lease> take(std::string origin, time_limit limit);
  /// Closes what is not in use, as descriptors have run out; false: there was nothing.
  bool drop_idle() noexcept;
  std::size_t idle() const noexcept { return idle_; }

 private:
  friend class lease;
  struct kept {
    std::unique_ptr<connection> wire;
    std::chrono::steady_clock::time_point since;
  };
  struct host {
    explicit host(int most) : places(most, "http::client connections") {}
    semaphore places;
    std::vector<kept> idle;
    std::size_t users = 0;  // that have a place, or wait for one
  };
  using hosts = std::map<std::string, host>;

  void leave(hosts::iterator at) noexcept;
  void drop_oldest() noexcept;
  void expect_eviction();
  void evict();

  const int most_;
  const std::size_t most_idle_;
  const std::chrono::nanoseconds keep_;
  hosts hosts_;
  std::size_t idle_ = 0;
  std::atomic<std::uint64_t> loop_{0};  // its number
  timer eviction_;
  bool eviction_set_ = false;
};

/// A place for a connection, and the connection when there is one. Move-only.
class lease {
 public:
  lease() noexcept = default;
  lease(lease&& other) noexcept : of_(std::move(other.of_)), at_(other.at_), wire_(std::move(other.wire_)) {}
  lease& operator=(lease&& other) noexcept;
  ~lease() { drop(); }

  /// A kept connection that is not known to be dead; false if there is none.
  bool reuse();
  void connected(std::unique_ptr<connection> wire) noexcept { wire_ = std::move(wire); }
  explicit operator bool() const noexcept { return wire_ != nullptr; }
  /// As of its pool; for one that is taken.
  void check_loop() const { of_->check_loop(); }
  connection& wire() const noexcept { return *wire_; }
  /// Closes the connection; the place stays.
  void close() noexcept { wire_.reset(); }
  /// Gives back the place, and the connection for the next one.
  void keep();
  /// Gives back the place, and closes the connection.
  void drop() noexcept;

 private:
  friend class pool;
  lease(std::shared_ptr<pool> of, pool::hosts::iterator at) noexcept : of_(std::move(of)), at_(at) {}

  std::shared_ptr<pool> of_;
  pool::hosts::iterator at_;
  std::unique_ptr<connection> wire_;
};

}  // namespace tutti::io::http::detail
