// job_queue: the messages that a worker holds: those that wait, those that wait for their rate, those that run.
#pragma once
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/worker/prefetch.hpp>
#include <tutti/cluster/message.hpp>
#include <tutti/cluster/task_registry.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_set>
#include <vector>

namespace tutti::cluster {

/// A message that a worker holds.
struct job {
  delivery from;
  task_message message;
  const registered_task* task = nullptr;
  std::stop_source stop{std::nostopstate};  ///< has a state once it is taken to run
  std::atomic<bool> over{false};            ///< whoever sets it first says how it ended
  std::atomic<bool> acknowledged{false};
  // Written before it is one of those that run.
  std::optional<wall_time> started;
  std::size_t slot = 0;
};
using job_ptr = std::shared_ptr<job>;

/// Between the thread that takes messages from the broker and those that run them. Thread-safe.
class job_queue {
 public:
  using clock = std::chrono::steady_clock;

  job_queue(std::size_t slots, std::optional<std::size_t> prefetch);

  // ---- for who takes messages from the broker

  /// How many more it should hold; waits up to `patience` until that is worth a round trip. 0: the time is up, or
  /// poke() came.
  [[nodiscard]] std::size_t wait_for_room(std::chrono::nanoseconds patience);
  void poke();
  void put(std::vector<job_ptr> jobs);
  /// For one that must not begin before `when`.
  void put_later(job_ptr one, clock::time_point when);
  /// What has waited behind longer tasks for too long, and what waits for slots that were lost: no longer here.
  [[nodiscard]] std::vector<job_ptr> take_stale(clock::time_point now = clock::now());
  /// When somebody has to look again, if nothing happens before: take_stale, or for an inline worker what waits for its
  /// rate.
  [[nodiscard]] std::optional<clock::time_point> next_look(clock::time_point now = clock::now());

  // ---- for slots, numbered from 0

  /// The next job for that slot; waits for it, or gives null. Null also after close().
  [[nodiscard]] job_ptr take(std::size_t slot, bool waits = true);
  /// What ran in that slot has ended, after so long; nothing: it did not run.
  void done(std::size_t slot, std::optional<std::chrono::nanoseconds> took);
  /// A slot, in which nothing runs, takes no jobs until it is regained: none are held for it.
  void lose_slot();
  void regain_slot();

  // ---- for how jobs end

  /// So many are on their way to the broker; `ended`: or have arrived there.
  void leaving(std::size_t n);
  void ended(std::size_t n);
  /// Nothing waits but for its rate, nothing runs, and nothing is on its way.
  [[nodiscard]] bool is_idle();

  /// Nobody gets a job any more; those that wait are no longer here.
  [[nodiscard]] std::vector<job_ptr> close();
  [[nodiscard]] std::vector<job_ptr> remove(const std::unordered_set<std::string>& ids);
  [[nodiscard]] std::vector<job_ptr> waiting();
  [[nodiscard]] std::vector<job_ptr> running();
  /// Messages that it holds at most.
  [[nodiscard]] std::size_t limit();

 private:
  std::size_t room() const noexcept;
  std::size_t most() const noexcept;
  bool is_room_worth_it() const noexcept;
  void insert(job_ptr one);
  void release_due(clock::time_point now);
  void tell_of_room() noexcept;

  // What waits is in waiting_ or in later_, what runs in running_ at its slot; a job is in one of them.
  std::mutex mutex_;
  std::condition_variable work_, room_;
  std::deque<job_ptr> waiting_;  // by priority, then as they came
  std::multimap<clock::time_point, job_ptr> later_;
  std::vector<job_ptr> running_;
  std::size_t busy_ = 0;     // slots
  std::size_t lost_ = 0;     // slots; they are not busy
  std::size_t leaving_ = 0;  // ended here, not yet at the broker
  std::size_t sleepers_ = 0;
  prefetch_size prefetch_;
  clock::time_point last_taken_ = clock::now();  // or when the first of those that wait came
  bool wants_room_ = false, poked_ = false, closed_ = false;
};

}  // namespace tutti::cluster
