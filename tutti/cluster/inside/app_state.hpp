// app_state: what copies of one app share.
#pragma once
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/inside/eager_results.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace tutti::cluster {

class result_cell;
class result_hub;

struct app::state {
  explicit state(app_options given);

  const app_options options;
  const broker_url broker_at, results_at;

  std::mutex mutex;  // guards what follows: made on first use
  std::shared_ptr<broker> tasks;
  std::shared_ptr<result_store> results;
  std::shared_ptr<result_hub> hub;
  eager_results eager;
  // Tasks that nobody waits for yet: who begins to wait for one has the hub listen for all of them that are still held.
  std::vector<std::weak_ptr<result_cell>> sent;
  std::size_t prune_sent_at = 1024;
};

/// What the module's own parts do with an app.
class result_hub_access {
 public:
  using state_ptr = std::shared_ptr<app::state>;
  [[nodiscard]] static app::state& state(const app& of) noexcept { return *of.state_; }
  [[nodiscard]] static const std::shared_ptr<app::state>& shared(const app& of) noexcept { return of.state_; }
  /// An app that never becomes current by itself.
  [[nodiscard]] static app make_private(app_options options) {
    return app(std::make_shared<app::state>(std::move(options)));
  }
};

}  // namespace tutti::cluster
