// cluster_core: calls on their way to workers and back.
//
// submit puts a call into `queued_`; one thread, the sender, takes all that is there, has the hub listen for their
// results, and publishes them in one batch. The hub's thread completes them. Each call that has left is in `away_`, by
// its target, until its result is here. mutex_ guards both; calls are completed without it, as that runs foreign code.
// On its way from the one to the other a call is in neither: the sender holds preparing_ then.
#pragma once
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/cluster_pool.hpp>
#include <tutti/cluster/result_hub.hpp>
#include <tutti/cluster/worker.hpp>
#include <tutti/core/call.hpp>
#include <tutti/core/executor.hpp>
#include <tutti/core/wait_list.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace tutti::cluster::detail {

class cluster_core final : public call_runner, public std::enable_shared_from_this<cluster_core> {
 public:
  cluster_core(app where, cluster_pool_options options);
  ~cluster_core() override;
  cluster_core(const cluster_core&) = delete;
  cluster_core& operator=(const cluster_core&) = delete;

  void start(call work);
  void shutdown(shutdown_mode mode);
  [[nodiscard]] int concurrency() const noexcept { return concurrency_; }
  void retain_handle() noexcept { handles_.fetch_add(1, std::memory_order_relaxed); }
  void release_handle() noexcept;

  void stop(portable_call& call) noexcept override;
  void help(bool (* /*is_done*/)(const void*), const void* /*context*/) noexcept override {}

 private:
  struct queued_call {
    call work;
    std::string arguments;  // encoded
  };
  struct batch;

  void send_calls();
  void send_batch();
  void prepare(queued_call& one, batch& to);
  void tell_revoked(const std::vector<std::string>& ids);
  void forget(const std::vector<std::string>& ids);
  void give_up(const std::vector<std::shared_ptr<result_cell>>& cells, const std::shared_ptr<const task_end>& end);
  void done(portable_call* target, const std::string& id, const task_end& end) noexcept;
  void left(std::size_t count) noexcept;
  void cancel_all();
  bool warn_without_workers();
  void finish_all() noexcept;
  [[nodiscard]] static bool ends_calls_here() noexcept;

  const app where_;
  const std::string queue_;
  const int concurrency_;
  const std::chrono::nanoseconds patience_;
  std::optional<worker> own_worker_;

  std::mutex preparing_;  // before mutex_
  std::mutex mutex_;      // guards what follows
  std::condition_variable work_;
  std::deque<queued_call> queued_;
  std::unordered_map<const portable_call*, std::shared_ptr<result_cell>> away_;
  std::vector<std::string> revoked_, received_;  // ids: to be told, to be forgotten
  std::shared_ptr<result_hub> hub_;              // null before it is needed
  bool closed_ = false, leaving_ = false;

  std::atomic<std::uint64_t> left_{0};  // calls that have no end yet; seq_cst, as wait_list wants it
  std::atomic<int> handles_{1};
  wait_list drained_;
  std::mutex shutting_down_;
  std::thread sender_;  // under shutting_down_, once made
};

}  // namespace tutti::cluster::detail
