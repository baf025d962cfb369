// completion: has what tasks brought about stored and settled, many at a time.
#pragma once
#include <tutti/base/clock.hpp>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/worker/ending.hpp>
#include <tutti/cluster/inside/worker/job_queue.hpp>
#include <tutti/cluster/inside/worker/retried.hpp>
#include <tutti/cluster/result_store.hpp>
#include <tutti/core/timers.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
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
  std::size_t sent = 0;    ///< of what follows, when it was acknowledged before
  bool is_others = false;  ///< its message is, as far as is known: so is what the chords that it completes end with
  int refusals = 0;        ///< of the store or the broker, for good
};

/// How many attempts at a message came to no end that could be told: their process died, or the end was refused.
[[nodiscard]] int lost_attempts(const task_message& message);
inline constexpr const char* lost_header = "x-tutti-lost";  ///< has that number

/// Stores results, counts the parts of chords, and settles with the broker: in this order, so that nothing is lost
/// when this process ends in between. While the store or the broker are away it tries again, for ever; the messages
/// stay with the consumer until then. What follows those that were acknowledged before they ran is sent when the broker
/// takes it, and keeps nobody from settling. What they refuse for good ends as a failure that says so. Thread-safe.
class completion {
 public:
  /// The queue is told how many have arrived. All must outlive it. `chore`: see want_chore().
  completion(std::shared_ptr<broker> to, std::shared_ptr<result_store> store, consumer& from, job_queue& queue,
             ending_rules rules, std::function<void()> chore = {});
  ~completion();  ///< finish(0)
  completion(const completion&) = delete;
  completion& operator=(const completion&) = delete;

  /// Done on another thread, together with what else has ended meanwhile; or here and now, when `alone` says that
  /// nobody has better to do and nothing else is under way: that may block while the broker is away. Counts it as
  /// leaving.
  void add(ended_job one, bool alone = false) noexcept;
  /// That thread is to do the chore soon: once for all who ask until it begins, once a second at most. When it throws
  /// it is done again, unless all this ends.
  void want_chore();
  /// Acknowledges a job before it runs. False: it must not run, as others have it. Blocks while the broker is away;
  /// throws broker_error in the end.
  [[nodiscard]] bool acknowledge(const job& one);
  /// From now on, when nothing gets done for `patience`, what is left is let go: nobody waits for the broker any
  /// more. A later call may shorten that. Never blocks.
  void begin_ending(std::chrono::nanoseconds patience) noexcept;
  /// The same, and waits for the end.
  void finish(std::chrono::nanoseconds patience);
  /// How many have been let go: not settled, so that their messages stay with the consumer until that ends.
  [[nodiscard]] std::size_t let_go() const noexcept { return let_go_.load(); }

 private:
  using clock = std::chrono::steady_clock;

  void run();
  void do_chore() noexcept;
  enum class tries : unsigned char { once, until_done };
  void process(std::span<ended_job> batch, tries how) noexcept;
  [[nodiscard]] bool hand_over(std::span<ended_job> batch, tries how, const char* why) noexcept;
  void let_go(std::span<const ended_job> batch, const char* why) noexcept;
  void carry_out(std::span<ended_job> batch, tries how);
  void carry_out_or_replace(ended_job& one, tries how);
  void replace_refused(ended_job& one, const std::string& why);
  void note(const ending& what, tries how);
  void count_parts(ended_job& one, tries how);
  void send_followers(std::span<ended_job> batch);
  template <class Step>
  void keep_trying(const char* what, tries how, Step step);
  [[nodiscard]] bool is_ending() const noexcept { return patience_.load() != without_end; }
  void look() noexcept;

  // Whether anything is still done, looked at now and then while it ends. Whoever is stuck need not do so itself.
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

  static constexpr std::int64_t without_end = std::numeric_limits<std::int64_t>::max();

  const std::shared_ptr<broker> broker_;
  const std::shared_ptr<result_store> store_;
  consumer& consumer_;
  job_queue& queue_;
  const ending_rules rules_;
  const std::function<void()> chore_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ended_job> waiting_;
  std::vector<ended_job> unsent_;  // acknowledged before they ran: the broker takes nothing of what follows now
  clock::time_point unsent_at_;    // tried again; once there are any
  std::chrono::milliseconds unsent_pause_{first_pause};
  std::optional<clock::time_point> chore_at_;  // somebody wants it
  clock::time_point last_chore_ = clock::time_point::min();
  bool is_working_ = false, is_over_ = false;
  std::atomic<bool> gives_up_{false};
  std::atomic<std::size_t> let_go_{0};
  std::atomic<std::size_t> in_hand_{0};              // jobs, and who acknowledges one
  std::atomic<std::uint64_t> steps_{0};              // that went well: as long as there are any, it goes on
  std::atomic<std::int64_t> patience_{without_end};  // ns
  std::uint64_t steps_seen_ = 0;                     // of the watch, which looks once at a time
  clock::time_point went_well_ = now();              // its, too
  end_watch watch_{*this};
  std::thread thread_;  // last: it uses the others
};

}  // namespace tutti::cluster
