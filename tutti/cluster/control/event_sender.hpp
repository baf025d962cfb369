// event_sender: tells who listens what a worker does: Celery's events.
#pragma once
#include <tutti/cluster/broker.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// Sends events in batches, from a thread of its own; what the broker does not take within seconds is dropped: events
/// never hold a task up. Thread-safe.
class event_sender {
 public:
  /// `hostname`: of the worker, "tutti@host".
  event_sender(std::shared_ptr<broker> to, std::string hostname);
  ~event_sender();  ///< end(), and waits for that

  /// Whether events of tasks are sent; those of workers always are.
  void enable(bool on) noexcept;
  [[nodiscard]] bool enabled() const noexcept;
  /// An event of `type`, "task-started"; fields as JSON texts by name, besides those that each has. Never blocks.
  void send(std::string_view type, std::vector<std::pair<std::string, std::string>> fields);
  /// Takes no more events; what is left is sent, for a second at most. Never blocks.
  void end() noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace tutti::cluster
