// pool_core: the near side of a process_pool: queues, lanes, and what becomes of calls whose worker dies.
//
// Every call is a `job`, and is in one place: in a queue, in the lane of one worker (in the order of the lane's ring),
// or at its end. mutex_ guards all of that, and only a `section` holds it: what a section ends is completed behind it,
// as that runs foreign code. Whatever has changed, `settle` brings in order: lanes that are due go, others come, and
// queued calls go where there is room.
//
// Responses are read by one thread at a time, the collector, who holds collecting_: a thread that waits for a result
// (the visitor), else the pool's own thread (the resident), which sleeps meanwhile. Deaths are reported by the
// launcher's thread, which only notes them and wakes the collector: so what a dead worker has published is read before
// its lane is given up, and nobody reads a lane beside that.
//
// Locks are taken in this order: shutting_down_, collecting_, residents_mutex_ or mutex_.
#pragma once
#include <tutti/core/call.hpp>
#include <tutti/core/executor.hpp>
#include <tutti/core/wait_list.hpp>
#include <tutti/process/launcher.hpp>
#include <tutti/process/parcels.hpp>
#include <tutti/process/pool_job.hpp>
#include <tutti/process/pool_wire.hpp>
#include <tutti/process/process_pool.hpp>
#include <tutti/process/shared_memory.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
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

/// One worker, seen from the pool.
struct lane {
  enum class state : std::uint8_t { open, leaving, dead };
  lane();

  int number = 0;  // in names
  shared_memory memory;
  lane_memory& words;
  lane_ring requests, responses;
  message_socket socket;   // never blocks
  message_socket mailbox;  // its other end, too: what a worker has left unread is found there
  std::shared_ptr<launched> process;
  state now = state::open;
  bool is_ready = false;      // has said that it is initialised
  bool initialising = false;  // its initializer has not answered
  bool was_dismissed = false;
  bool stalled = false;       // its socket is full, until it answers
  bool condemned = false;     // runs a call whose time is over
  bool full = false;          // its ring had no room; requests_full tells when it has some
  job_list jobs;              // given, in order; the worker runs the first that it has not answered
  std::vector<bool> defined;  // functions
  parcel_sender outgoing{parcel_sender::freed::by_sender};
  std::uint32_t initializer_parcel = 0;
  std::uint64_t last_ticket = 0;
  std::uint64_t given = 0;     // calls, ever
  std::exception_ptr failure;  // of its initializer, or ours to understand it

  std::atomic<bool> waits_for_room{false};  // `full`, for the collector
  std::atomic<bool> over{false};            // noted by the launcher's thread; seq_cst with the bell
  // Of the call that it runs: its time is over, and it is to be told so.
  std::atomic<bool> is_overdue{false};
  struct overdue_call {
    portable_call* target = nullptr;
    std::exception_ptr error;
    void tell() noexcept {
      if (target != nullptr) std::exchange(target, nullptr)->fail(std::move(error));
    }
  } overdue;
  overdue_call take_overdue() noexcept {
    is_overdue.store(false, std::memory_order_relaxed);
    return std::exchange(overdue, {});
  }
  // The collector's own.
  parcel_receiver incoming;
  std::string parts;    // of an answer that comes in several records
  bool is_mad = false;  // writes nonsense, and was killed
  bool is_buried = false;
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
  /// The last handle finishes the work.
  void release_handle() noexcept;

  void stop(portable_call& call) noexcept override;
  void help(bool (*is_done)(const void*), const void* context) noexcept override;

 private:
  using bell = bell_words;
  using lane_ref = std::shared_ptr<lane>;
  class section;
  /// So many workers in a row that die before they are ready, and no more are started until another call comes.
  static constexpr int most_failures = 3;
  /// Memory for encoded arguments beyond this is not kept.
  static constexpr std::size_t most_spare = std::size_t{256} << 20;

  // ---- in a section
  void settle(section& in) noexcept;
  void enqueue(job& one, bool at_front) noexcept;
  void dispatch(section& in);
  job* next_in_queue() const noexcept;
  void take_from_queue(job& one) noexcept;
  bool leave(section& in, job& one);
  lane* lane_for(const job& next) noexcept;
  bool may_take(lane& one) noexcept;
  std::size_t depth() const noexcept;
  bool give(lane& to, job& one);
  bool write_call(lane& to, job& one);
  bool define(lane& to, std::uint32_t number);
  bool write(lane& to, const request_head& head, std::string_view bytes);
  bool has_room(lane& one) noexcept;
  std::uint32_t number_of(const function_info& function, const char* name);
  bool take_back(lane& from, job& one) noexcept;
  void take_back_all(section& in, lane& from) noexcept;
  void recover(lane& from, job& one) noexcept;
  static void recover_handles(lane& from) noexcept;
  bool say_lost(lane& to, std::uint32_t parcel) noexcept;
  void balance(section& in);
  void end_all_queued(section& in, const std::exception_ptr& why) noexcept;
  void adjust(section& in);
  void start_lane();
  void initialise(lane& made);
  void replace(section& in, lane& one);
  void retire_if_due(lane& one) noexcept;
  void dismiss(lane& one) noexcept;
  void wake_worker(lane& one) noexcept;
  void ask_to_stop(lane& one, const job& which) noexcept;
  timer kill_later(const lane_ref& which, std::uint64_t ticket);
  lane_ref ref_of(const lane& one) const;

  // ---- by timers
  void expired(const std::weak_ptr<lane>& where, std::uint64_t ticket);
  void kill_if_still(const std::weak_ptr<lane>& where, std::uint64_t ticket);

  // ---- by the collector
  class collecting;
  bool collect(const collecting& here);
  void collect_until(const collecting& here, bool (*is_done)(const void*), const void* context);
  bool collect_from(const collecting& here, const lane_ref& from);
  void say_overdue(lane& which) noexcept;
  bool replace_resident() noexcept;
  void retire_resident() noexcept;
  static void pop(lane& from) noexcept;
  void read(const lane_ref& from, const response_head& head, std::string_view bytes);
  void answered(const lane_ref& from, const response_head& head, std::string_view bytes,
                std::exception_ptr failure = nullptr);
  void refused(lane& from, std::uint64_t ticket);
  void worn(lane& which);
  void initialised(lane& of, std::exception_ptr failure);
  void bury(const lane_ref& dead);
  bool anything_to_collect() const noexcept;
  bool is_collecting_here() const noexcept;
  void reside();

  void check_process(const char* what) const;
  bool is_of_this_process() const noexcept;
  /// For errors: the call that it runs.
  static std::string text_of(const lane& where, const job& one);
  std::exception_ptr loss_of(const lane& dead, const job* victim) const;
  static std::exception_ptr cancelled_before(const job& one) noexcept;
  void let_workers_go();

  const pool_settings settings_;
  const std::uint32_t forks_;  // before this process
  const shared_memory bell_memory_;
  bell& bell_;
  std::atomic<int> wanted_;
  std::atomic<int> handles_{1};

  std::mutex collecting_;
  std::atomic<int> visitors_{0};           // that are here, or want to be
  std::atomic<bool> is_resident_{false};   // who holds collecting_
  std::atomic<bool> was_sent_off_{false};  // the resident, who found a visitor: seq_cst, see reside()
  // The collector's copy of lanes_.
  std::shared_ptr<const std::vector<lane_ref>> seen_ = std::make_shared<const std::vector<lane_ref>>();
  std::uint64_t seen_version_ = 0;

  mutable std::mutex mutex_;
  std::vector<lane_ref> lanes_;
  std::atomic<std::uint64_t> version_{0};           // of lanes_
  std::map<int, job_list, std::greater<>> queues_;  // by priority; one that was made stays
  std::map<std::pair<const function_info*, const char*>, std::uint32_t> numbers_;
  std::vector<std::pair<const function_info*, const char*>> functions_;  // by number
  std::uint32_t last_number_ = 0;                                        // that was asked for
  std::string spare_;                                                    // the memory of long encoded arguments, warm
  double average_ = 0;                                                   // ns per call, of late; 0: not known
  int failures_ = 0;            // workers in a row that died before they were ready
  std::exception_ptr failure_;  // of the last of them
  int names_ = 0;
  bool closed_ = false;
  std::exception_ptr cancelled_;  // what calls end with since shutdown(cancel); null: there was none
  process_pool_stats counts_;

  std::atomic<std::uint64_t> left_{0};  // jobs that are not at their end; seq_cst, as wait_list wants it
  wait_list drained_;
  std::mutex shutting_down_;
  bool shut_down_ = false;  // under that
  std::mutex residents_mutex_;
  std::vector<std::thread> residents_;  // the last one is; the others sleep in callbacks
  std::atomic<bool> leaving_{false};    // the residents
};

}  // namespace tutti::detail
