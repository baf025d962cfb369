// result_hub: hears of the results that somebody waits for: one thread per app, asleep while there is nothing to hear.
#pragma once
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/core/promise.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tutti::cluster {

class result_hub;

/// How a task ended: `error` when its result cannot be read, else `result`, whose status is final.
struct task_end {
  task_result result;
  std::exception_ptr error = {};

  /// The result as JSON; throws what the task failed with.
  [[nodiscard]] std::string value() const;
};

class result_cell;

/// What must end well for another one to come.
struct earlier_cell {
  std::shared_ptr<result_cell> cell;
  bool in_header = false;  ///< see earlier_task
};

/// One task whose end somebody may wait for. Thread-safe. Whoever waits must have given it to the hub.
class result_cell {
 public:
  /// `name`: of the task, for errors; may be empty.
  result_cell(std::string id, std::string name) : id_(std::move(id)), name_(std::move(name)) {}
  ~result_cell();
  result_cell(const result_cell&) = delete;
  result_cell& operator=(const result_cell&) = delete;

  [[nodiscard]] const std::string& id() const noexcept { return id_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// How it ended; null before.
  [[nodiscard]] std::shared_ptr<const task_end> end() const;
  /// Blocks until it has ended (true) or the time is up (false). On a pool's worker as future::wait.
  [[nodiscard]] bool wait_until(const std::optional<std::chrono::steady_clock::time_point>& deadline) const;
  /// Calls `then` once it has ended: on the hub's thread, or here when it has. `then` must be short and not throw.
  void when_done(std::function<void(const task_end&)> then);
  /// The first one counts. Calls back.
  void settle(std::shared_ptr<const task_end> end);

  /// From now on `cells` end as the first one of `before` that fails or is revoked, those of a chord's header only when
  /// that is revoked, with a ChordError; they are watched together with them.
  static void fail_with(const std::vector<std::shared_ptr<result_cell>>& cells,
                        const std::vector<earlier_cell>& before);
  /// Puts what must be watched for `cells` behind them, each once, as far as it has not ended.
  static void add_before(std::vector<std::shared_ptr<result_cell>>& cells);

 private:
  void leave();

  friend class result_hub;
  const std::string id_, name_;
  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<const task_end> end_;
  std::vector<std::function<void(const task_end&)>> then_;
  bool is_watched_ = false;
  std::function<void(const result_cell*)> leave_;            // tells the hub that nobody waits any more
  std::shared_ptr<const std::vector<earlier_cell>> before_;  // null: none, or it has ended
  promise<void> promise_;                                    // set behind `end_`
  shared_future<void> done_{promise_.get_future().share()};
};

/// Thread-safe.
class result_hub {
 public:
  explicit result_hub(const std::shared_ptr<result_store>& store);
  /// Ends what was kept with `closed`.
  ~result_hub();
  result_hub(const result_hub&) = delete;
  result_hub& operator=(const result_hub&) = delete;

  /// From now on these cells are settled when their tasks end, or have ended; as long as somebody else has them, or,
  /// with `keep`, in any case. When it throws, those that were not watched before are not watched now.
  void watch(std::span<const std::shared_ptr<result_cell>> cells, bool keep);
  /// Somebody may wait for it later: then it is watched together with others.
  static void note(const app& where, const std::shared_ptr<result_cell>& cell);
  /// The same as watch for these and for all that were noted and are still held, at one go.
  static void watch_with_noted(const app& where, std::vector<std::shared_ptr<result_cell>> cells, bool keep);
  /// Nobody waits for these any more.
  void unwatch(std::span<const std::shared_ptr<result_cell>> cells);
  /// Tasks that are waited for: for tests.
  [[nodiscard]] std::size_t watched() const;

  /// Whether this thread is a hub's, which settles.
  [[nodiscard]] static bool is_here() noexcept;

  /// The one of `where`, which it must not outlive.
  [[nodiscard]] static std::shared_ptr<result_hub> of(const app& where);

 private:
  struct core;
  void enter(std::span<const std::shared_ptr<result_cell>> cells, bool keep, std::vector<std::string>& ids,
             std::vector<result_cell*>& entered);

  std::shared_ptr<core> core_;
};

}  // namespace tutti::cluster
