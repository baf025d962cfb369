// cluster_pool: an executor over the workers of a cluster.
#pragma once
#include <tutti/cluster/app.hpp>
#include <tutti/core/executor.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace tutti::cluster {

namespace detail {
class cluster_core;
}  // namespace detail

/// How a cluster_pool is made. Designated initialisers, in this order.
struct cluster_pool_options {
  std::string queue = "tutti";  ///< which workers have to take from; Celery's do not
  int concurrency = 0;          ///< how many calls are thought to run at once; 0: as default_concurrency()
};

/// The workers of a cluster run portable functions: submit<f>(args...), map<f>(range), with(options), as on every
/// executor. Each call is a task "tutti.call" with the function's name and its encoded arguments; workers of any
/// program that has the function run it: start them with the pool's queue among theirs. With a broker "memory://"
/// nobody else could, so the pool brings its own worker, on `concurrency` threads of this process; there a call that
/// waits for another one keeps its thread meanwhile.
///
/// At least once, as all tasks: a call whose worker dies runs again elsewhere. A timeout is the task's time limit,
/// retries are counted by the workers, priorities p are 5 + p of 0 to 9. cancel() revokes; a call that no worker has
/// taken stays with the broker until one looks at it. Results are dropped from the store once they are here.
///
/// Thread-safe; submit never waits for the broker. Destroying it finishes what it was given.
class cluster_pool : public executor {
 public:
  /// Throws std::invalid_argument for options that make no sense.
  explicit cluster_pool(app where, cluster_pool_options options = {});
  ~cluster_pool() override;

  int concurrency() const override;
  /// `cancel` revokes, and waits for what runs for the app's patience. std::logic_error in an on_done of a call.
  void shutdown(shutdown_mode mode = finish) override;
  std::unique_ptr<executor> share() override;

 protected:
  void start(call work) override;

 private:
  cluster_pool(std::uint64_t id, std::shared_ptr<detail::cluster_core> core);
  std::shared_ptr<detail::cluster_core> core_;
};

/// For make_executor: a pool at a broker's URL, "redis://host/0?concurrency=8&queue=calls". Its app never becomes
/// app::current(). Throws bad_spec.
[[nodiscard]] std::unique_ptr<executor> make_cluster_pool(std::string_view spec);

}  // namespace tutti::cluster
