// completion: has what tasks brought about stored and settled, many at a time.
#pragma once
#include <tutti/base/clock.hpp>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/worker/ending.hpp>
#include <tutti/cluster/inside/worker/job_queue.hpp>
#include <tutti/cluster/result_store.hpp>
#include <tutti/core/timers.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tutti::cluster {

/// A job that is through.
struct ended_job {
  job_ptr of;
  ending brings = {};
  bool gives_back = false;  ///< it goes back to its queue as it is

  // How far that has come: it may have to be tried again.
  std::size_t counted = 0;  ///< parts of chords
  bool is_stored = false, is_settled = false;
  int refusals = 0;  ///< of the store or the broker, for good
};

/// Stores results, counts the parts of chords, and settles with the broker: in this order, so that nothing is lost
/// when this process ends in between. While the store or the broker are away it tries again, for ever; the messages
/// stay with the consumer until then. What they refuse for good ends as a failure that says so. Thread-safe.
class completion {
 public:
  /// The queue is told how many have arrived. All must outlive it.
  completion(std::shared_ptr<broker> to, std::shared_ptr<result_store> store, consumer& from, job_queue& queue,
             ending_rules rules);
  ~completion();  ///< finish(0)
  completion(const completion&) = delete;
  completion& operator=(const completion&) = delete;

  /// Done on another thread, together with what else has ended meanwhile; or here and now, when `alone` says that
  /// nobody has better to do and nothing else is under way: but that is tried once only. Counts it as leaving.
  void add(ended_job one, bool alone = false);
  /// Something else for that thread to do, once; what it throws is logged.
  void add_chore(std::function<void()> chore);
  /// Acknowledges a job before it runs. Blocks while the broker is away; throws broker_error in the end.
  void acknowledge(const job& one);
  /// From now on, when nothing can be done for `patience`, what is left is let go: nobody waits for the broker any
  /// more. A later call may shorten that. Never blocks.
  void begin_ending(std::chrono::nanoseconds patience) noexcept;
  /// The same, and waits for the end.
  void finish(std::chrono::nanoseconds patience);
  /// How many have been let go.
  [[nodiscard]] std::size_t let_go() const noexcept { return let_go_.load(); }

 private:
  void run();
  enum class tries : unsigned char { once, until_done };
  void process(std::vector<ended_job> batch, tries how);
  void carry_out(std::vector<ended_job>& batch, tries how);
  void note(const ending& what, tries how);
  void count_parts(ended_job& one, tries how);
  void replace_refused(ended_job& one, const std::string& why);
  void let_go(const std::vector<ended_job>& batch, const std::string& why);
  template <class Step>
  void keep_trying(const char* what, tries how, Step step);
  void look() noexcept;

  // Whether anything can still be done, looked at now and then while it ends. Whoever is stuck need not do so itself.
  class end_watch final : timer_entry {
   public:
    explicit end_watch(completion& of) : of_(of) {}
    ~end_watch() { cancel_and_wait(); }
    void begin() { set(now()); }
    using timer_entry::cancel_and_wait;

   private:
    void due() noexcept override;
    completion& of_;
  };

  const std::shared_ptr<broker> broker_;
  const std::shared_ptr<result_store> store_;
  consumer& consumer_;
  job_queue& queue_;
  const ending_rules rules_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ended_job> waiting_;
  std::deque<std::function<void()>> chores_;
  bool is_working_ = false, is_over_ = false;
  std::atomic<bool> gives_up_{false}, is_failing_{false};
  std::atomic<std::size_t> let_go_{0}, in_hand_{0};
  std::atomic<std::int64_t> patience_{std::numeric_limits<std::int64_t>::max()};  // ns
  std::chrono::steady_clock::time_point went_well_ = now();  // of the watch, which looks once at a time
  end_watch watch_{*this};
  std::thread thread_;  // last: it uses the others
};

}  // namespace tutti::cluster
