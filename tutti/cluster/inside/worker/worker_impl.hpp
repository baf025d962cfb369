// worker_impl: a worker from inside: messages come in (worker_admit), are run (worker_run), and end (worker_end).
#pragma once
#include <tutti/cluster/control/control_target.hpp>
#include <tutti/cluster/control/event_sender.hpp>
#include <tutti/cluster/inside/worker/child_process.hpp>
#include <tutti/cluster/inside/worker/completion.hpp>
#include <tutti/cluster/inside/worker/ending.hpp>
#include <tutti/cluster/inside/worker/job_queue.hpp>
#include <tutti/cluster/inside/worker/last_resort.hpp>
#include <tutti/cluster/inside/worker/rate_limits.hpp>
#include <tutti/cluster/inside/worker/revocations.hpp>
#include <tutti/cluster/inside/worker/task_run.hpp>
#include <tutti/cluster/worker.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace tutti::cluster {

/// The name of a worker on this host that gave none, unlike those of all others of this process.
class worker_name {
 public:
  explicit worker_name(const std::string& given);
  ~worker_name();
  worker_name(const worker_name&) = delete;
  worker_name& operator=(const worker_name&) = delete;
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  int number_ = 0;  // among those without a name; 0: it was given one
  std::string text_;
};

class worker::impl final : public control_target {
 public:
  impl(app where, worker_options options);

  int run();
  void shut_down(bool warm) noexcept;
  [[nodiscard]] worker_stats stats() const;
  [[nodiscard]] const std::string& name() const noexcept { return name_.text(); }

  std::thread thread;         ///< of start()
  int code = 0;               ///< that it ended with
  std::exception_ptr thrown;  ///< instead of that

  // ---- control_target
  std::vector<shown_task> active() override;
  std::vector<shown_task> reserved() override;
  std::vector<std::string> revoked() override;
  worker_numbers numbers() override;
  std::vector<std::string> queues() override;
  void revoke(const std::vector<std::string>& ids, bool terminate, const std::string& signal) override;
  bool rate_limit(const std::string& task, const std::string& rate) override;
  void shutdown(bool warm) override { shut_down(warm); }
  void enable_events(bool on) override;
  void missed_some() override;

 private:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t most_bytes = 100'000'000;   // of a message
  static constexpr int most_returns = 5;                   // workers that have died with it
  static constexpr int most_lost = 3;                      // attempts that came to no end
  static constexpr std::chrono::seconds stopping_time{5};  // of what runs, when it is asked to stop
  static constexpr const char* waited = "x-tutti-waited";  // a header: the moment for which it waits at the broker

  void serve();

  // ---- taking messages (worker_admit.cpp)
  void fetch();
  void open_consumer();
  void load_revocations();
  void keep_revocations();
  void admit(std::vector<delivery> batch);
  [[nodiscard]] job_ptr look_at(delivery one);
  [[nodiscard]] bool is_to_run(const job_ptr& one);
  [[nodiscard]] bool is_parked(const job_ptr& one);
  [[nodiscard]] bool waits_for_its_rate(const job_ptr& one);
  void skip_what_is_done(std::vector<job_ptr>& jobs);
  void park(const job_ptr& one, wall_time until);

  // ---- running them (worker_run.cpp)
  void run_slot(std::size_t slot);
  void run_job(const job_ptr& one, std::size_t slot);
  [[nodiscard]] bool begin(const job_ptr& one);
  void interrupt(const job& one, outcome& ended) const;
  void lose(const job_ptr& one);
  void log_end();
  [[nodiscard]] outcome attempt_here(const job_ptr& one);
  [[nodiscard]] outcome attempt_in_child(const job_ptr& one, child_process& child);
  [[nodiscard]] bool ready_child(child_process& child);
  static void update(const detail::call_context& self, std::string_view status, std::string_view json);

  // ---- ending them (worker_end.cpp). finish() sets `over`; where somebody else may end the job too, its caller has
  // set it first, and nobody before.
  void finish(const job_ptr& one, outcome ended, bool alone = false) noexcept;
  void give_back(const std::vector<job_ptr>& jobs);
  void bury(const job_ptr& one, const std::string& reason, std::string_view status, std::string_view type);
  void describe_end(ended_job& out, const outcome& ended);
  void retry(ended_job& out, const outcome& ended);
  void lost(ended_job& out, const outcome& ended);
  [[nodiscard]] ending failed_alone(const job& one, const std::string& why) const;
  [[nodiscard]] outgoing_message dead_letter(const job& one, const std::string& reason) const;
  void stop_running(bool kill);
  void count(const job& one);

  // ---- events
  using event_fields = std::vector<std::pair<std::string, std::string>>;
  [[nodiscard]] bool has_events() const noexcept { return events_ && events_->enabled(); }
  void event(std::string_view type, const job& one, event_fields fields = {});

  [[nodiscard]] std::chrono::nanoseconds patience() const noexcept;  // with the broker, when it ends
  void rest(std::chrono::nanoseconds time);                          // or until it is to stop
  template <class Step>
  void retry_until_stopped(const char* what, Step step);  // throws broker_error when it is to stop
  [[nodiscard]] bool is_stopping() const noexcept { return stopping_.load(std::memory_order_acquire) != 0; }
  [[nodiscard]] bool is_cold() const noexcept { return stopping_.load(std::memory_order_acquire) == 2; }
  [[nodiscard]] const task_settings* settings_of(const job& one) const noexcept {
    return one.task != nullptr ? &one.task->settings : nullptr;
  }

  const app app_;
  const worker_options options_;
  const worker_name name_;
  const std::vector<std::string> queues_;
  const std::size_t slots_;
  const ending_rules rules_;
  const detail::child_setup child_setup_;
  const clock::time_point since_ = clock::now();

  job_queue jobs_;
  rate_limits rates_;
  revocations revoked_;
  std::atomic<int> stopping_{0};  // 1: warm, 2: cold

  // Made by run() before anything uses them. waker_ and ending_ are for who shuts down at any time, and so have a lock.
  std::unique_ptr<consumer> consumer_;
  std::unique_ptr<event_sender> events_;
  std::unique_ptr<completion> completion_;
  // By slot; all made before anything runs, and destroyed with this: who shuts it down cold may look at one at any
  // later moment.
  std::vector<std::unique_ptr<child_process>> children_;
  std::mutex waker_mutex_;
  std::condition_variable stopped_;
  consumer* waker_ = nullptr;
  completion* ending_ = nullptr;
  last_resort last_resort_{jobs_, [this](const job_ptr& one) { lose(one); }};  // begun under the lock, with ending_
  bool has_run_ = false;

  std::atomic<std::uint64_t> received_{0}, succeeded_{0}, failed_{0}, retried_{0}, revoked_count_{0}, dead_{0};
  std::mutex totals_mutex_;
  std::map<std::string, std::uint64_t> totals_;  // by task: ended ones
};

}  // namespace tutti::cluster
