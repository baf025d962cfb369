// redis_consumer: takes messages out of lists in Redis, holds them under a lease, and settles them.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/brokers/broker_link.hpp>
#include <tutti/cluster/inside/brokers/redis_bells.hpp>
#include <tutti/cluster/inside/brokers/redis_connection.hpp>
#include <tutti/cluster/inside/brokers/redis_keeper.hpp>
#include <tutti/cluster/inside/brokers/redis_wake.hpp>
#include <vector>

namespace tutti::cluster::detail {

/// See consumer. What it holds is in Redis under its own key; its tags are numbers that count up.
class redis_consumer final : public consumer {
 public:
  redis_consumer(const broker_url& where, const broker_options& options, const std::string& name,
                 std::vector<std::string> queues);
  ~redis_consumer() override;

  [[nodiscard]] std::vector<delivery> receive(std::size_t most, std::chrono::nanoseconds patience) override;
  void wake() noexcept override { wake_.set(); }
  std::vector<settle_end> settle(std::span<const settlement> settled) override;
  [[nodiscard]] bool holds(const std::string& tag) override;
  void stop() noexcept override;
  [[nodiscard]] bool connected() const noexcept override { return link_.is_up(); }
  void set_queues(std::vector<std::string> queues) override;

 private:
  using clock = std::chrono::steady_clock;
  void look_around();
  bool adopt_queues();
  bool declare(redis_connection& to, const std::vector<std::string>& queues);
  void note_follow(std::span<const settlement> settled);
  std::vector<delivery> take(std::size_t most);
  std::vector<settle_end> try_settling(std::span<const settlement> settled);
  void doubt(std::int64_t last) noexcept;
  void add_script(redis_request& request, std::span<const settlement> settled);
  [[nodiscard]] bool is_own(const std::string& queue);
  void leave();

  const broker_url where_;
  const broker_options options_;
  const std::string id_;  // NAME|UUID
  const std::string held_;
  broker_link link_;
  redis_wake wake_;

  // Of the thread in receive().
  redis_connection main_;
  redis_bells bells_;
  std::vector<std::string> taken_from_;  // queues
  std::vector<std::string> lists_;       // of those
  std::atomic<std::int64_t> next_tag_{1};
  bool unanswered_ = false;  // it may hold, from next_tag_ on, what we have not been told
  bool empty_ = false;  // all lists were, all bells were armed then, and none has rung: the next ring is not missed
  bool failed_ = false;

  std::atomic<std::int64_t> doubted_{0};  // tags up to this one: the lease may have ended since they were taken

  std::mutex queues_mutex_;
  std::vector<std::string> queues_;
  bool new_queues_ = true;
  std::atomic<bool> undeclared_{false};  // Redis has refused to note queues, and it was said so
  std::atomic<bool> cut_off_{false};     // the keeper was: lines that have said nothing may be dead

  std::mutex settle_mutex_;
  redis_connection settling_;
  std::set<std::string> declared_;  // queues of what came after tasks

  std::mutex stop_mutex_;
  std::condition_variable stopping_;
  bool stopped_ = false;

  std::unique_ptr<redis_keeper> keeper_;  // its thread ends first
};

}  // namespace tutti::cluster::detail
