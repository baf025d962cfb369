// cluster_client: an app over a broker of this process, with a worker when one is wanted.
#pragma once
#include <tests/support/eventually.hpp>
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/worker.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace tutti_test {

/// Each has a broker of its own. The app is current while it lives, as far as no other one is made so.
class client_bench {
 public:
  explicit client_bench(bool eager = false, bool with_worker = true)
      : where_({.broker = "memory://client_bench" + std::to_string(next()),
                .patience = std::chrono::seconds(30),
                .eager = eager}) {
    where_.make_current();
    if (eager || !with_worker) return;
    start_worker();
  }
  void start_worker(std::vector<std::string> queues = {"celery", "math", "slow"}) {
    worker_.emplace(where_, tutti::cluster::worker_options{.queues = std::move(queues), .concurrency = 2});
    worker_->start();
  }
  [[nodiscard]] const tutti::cluster::app& where() const { return where_; }

 private:
  static int next() {
    static std::atomic<int> made{0};
    return ++made;
  }
  tutti::cluster::app where_;
  std::optional<tutti::cluster::worker> worker_;
};

/// What `body` throws says.
template <class E = std::exception, class Body>
[[nodiscard]] std::string message_of(Body body) {
  try {
    body();
  } catch (const E& e) {
    return e.what();
  }
  return "(nothing was thrown)";
}

}  // namespace tutti_test
