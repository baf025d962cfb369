// pool_core: the near side of a process_pool: queues, lanes, and what becomes of calls whose worker dies.
//
// Every call is a `job`, and is in one place: in a queue, in the lane of one worker (in the order of the lane's ring),
// or at its end. mutex_ guards all of that. Responses are read by one thread at a time, the collector, who holds
// collecting_: a thread that waits for a result (the visitor), else the pool's own thread (the resident), which sleeps
// meanwhile. Deaths are reported by the launcher's thread, which only notes them and wakes the collector: so what a
// dead worker has published is read before its lane is given up, and nobody reads a lane beside that.
//
// Locks are taken in this order: collecting_, mutex_. Calls are completed under neither mutex_, nor, by others than the
// collector, under collecting_.
#pragma once
#include <tutti/core/block_cache.hpp>
#include <tutti/core/call.hpp>
#include <tutti/core/executor.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/core/wait_list.hpp>
#include <tutti/process/launcher.hpp>
#include <tutti/process/parcels.hpp>
#include <tutti/process/pool_wire.hpp>
#include <tutti/process/process_pool.hpp>
#include <tutti/process/shared_memory.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tutti::detail {

struct pool_settings {
  int workers = 1;
  std::string name;
  bool exec = false;
  std::uint64_t max_tasks = 0;
  std::uint64_t memory_limit = 0;
  std::chrono::nanoseconds grace{};
  std::string program;
  const function_info* initializer = nullptr;
  std::string initializer_arguments;
  std::vector<unique_fd> initializer_handles;
};

/// A call on its way.
struct job : pooled {
  explicit job(call w);

  call work;              // its handle, until it has left; then `target` is that
  portable_call* target;  // null: it has come to its end, and only its worker is waited for
  const function_info* const function;
  const char* const name;  // for people
  std::string bytes;       // encoded arguments; empty when a parcel has them, and then made anew for another attempt
  std::vector<unique_fd> handles;
  const call_limits limits;
  int retries;
  const int priority;
  std::uint64_t ticket = 0;    // in its lane
  std::uint32_t position = 0;  // in its lane's ring
  timer expiry;                // of its timeout
};

/// One worker, seen from the pool.
struct lane {
  enum class state : std::uint8_t { open, leaving, dead };
  lane();

  int number = 0;  // in names
  shared_memory memory;
  lane_memory& words;
  lane_ring requests, responses;
  message_socket socket;
  std::shared_ptr<launched> process;
  state now = state::open;
  std::deque<job*> jobs;      // given, in order; the worker has begun with the first of them at most
  std::vector<bool> defined;  // functions
  parcel_sender outgoing;
  parcel_receiver incoming;
  std::uint64_t last_ticket = 0;
  std::uint64_t given = 0;        // calls, ever
  bool initialising = false;      // the answer to the initializer is to come
  bool proved = false;            // it has answered
  std::string parts;              // of an answer that comes in several records
  std::exception_ptr failure;     // of its initializer, or ours to talk to it
  std::atomic<bool> over{false};  // noted by the launcher's thread; seq_cst with the bell
};

class pool_core final : public call_runner, public std::enable_shared_from_this<pool_core> {
 public:
  explicit pool_core(pool_settings settings);
  ~pool_core() override = default;
  pool_core(const pool_core&) = delete;
  pool_core& operator=(const pool_core&) = delete;
  /// Starts the workers.
  void open();

  void start(call work);
  void shutdown(shutdown_mode mode);
  void resize(int workers);
  int workers() const noexcept { return wanted_.load(std::memory_order_relaxed); }
  process_pool_stats stats() const;
  std::vector<int> pids() const;

  void retain_handle() noexcept { handles_.fetch_add(1, std::memory_order_relaxed); }
  /// True for the last one.
  bool release_handle() noexcept { return handles_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  void stop(portable_call& call) noexcept override;
  void help(bool (*is_done)(const void*), const void* context) noexcept override;

 private:
  using bell = bell_words;
  using lane_ref = std::shared_ptr<lane>;
  /// So many workers in a row that never answer, and no more are started until another call comes.
  static constexpr int most_failures = 3;
  class section;

  // ---- queues and lanes: in a section
  void enqueue(job* one, bool at_front);
  void dispatch(section& in);
  void give_up_waiting(section& in, const std::exception_ptr& why);
  lane* lane_for(const job& next) noexcept;
  std::size_t depth() const noexcept;
  bool give(section& in, lane& to, job& one);
  bool write_call(lane& to, job& one);
  bool define(lane& to, std::uint32_t number);
  bool write(lane& to, const request_head& head, std::string_view bytes);
  std::uint32_t number_of(const function_info& function, const char* name);
  void balance(section& in);
  void adjust(section& in);
  void start_lane();
  void initialise(lane& made);
  void retire_if_due(lane& one);
  void dismiss(lane& one);
  void wake_worker(lane& one) noexcept;
  void ask_to_stop(lane& one, std::uint64_t ticket) noexcept;
  void expired(const std::weak_ptr<lane>& where, std::uint64_t ticket);
  void kill_if_still(const std::weak_ptr<lane>& where, std::uint64_t ticket);

  // ---- by the collector
  bool collect();
  bool collect_from(const lane_ref& from);
  void read(lane& from, const response_head& head, std::string_view bytes);
  void answered(lane& from, const response_head& head, std::string_view bytes);
  void refused(lane& from, std::uint64_t ticket);
  void bury(const lane_ref& dead);
  bool anything_to_collect() const noexcept;
  void reside();

  void wake_collector() noexcept;
  std::exception_ptr loss_of(const lane& dead, const job* victim) const;
  void let_workers_go();

  const pool_settings settings_;
  const shared_memory bell_memory_;
  bell& bell_;
  std::atomic<int> wanted_;
  std::atomic<int> handles_{1};

  std::mutex collecting_;
  std::atomic<int> visitors_{0};          // that are here, or want to be
  std::atomic<bool> is_resident_{false};  // who holds collecting_
  std::vector<lane_ref> seen_;            // the collector's copy of lanes_
  std::uint64_t seen_version_ = 0;

  mutable std::mutex mutex_;
  std::vector<lane_ref> lanes_;
  std::atomic<std::uint64_t> version_{0};                   // of lanes_
  std::map<int, std::deque<job*>, std::greater<>> queues_;  // by priority; none is empty
  std::map<std::pair<const function_info*, const char*>, std::uint32_t> numbers_;
  std::vector<std::pair<const function_info*, const char*>> functions_;  // by number
  std::uint32_t last_number_ = 0;                                        // that was asked for
  std::string spare_;                                                    // the memory of long encoded arguments, warm
  double average_ = 0;                                                   // ns per call, of late; 0: not known
  int failures_ = 0;                                                     // workers in a row that never answered
  std::exception_ptr failure_;                                           // of the last of them
  int names_ = 0;
  bool closed_ = false;
  process_pool_stats counts_;

  std::atomic<std::uint64_t> left_{0};  // jobs that are not at their end; seq_cst, as wait_list wants it
  wait_list drained_;
  std::mutex shutting_down_;
  bool shut_down_ = false;  // under that
  std::thread resident_;
  std::atomic<bool> leaving_{false};  // the resident
};

}  // namespace tutti::detail
