// pool_core: rank 0's side of a rank_pool: queues, lanes to the workers, and what becomes of calls whose worker dies.
//
// Every call is a `pool_job`, and is in one place: in a queue, in the lane of one worker (in the order it was sent), or
// at its end. mutex_ guards all of that; what ends is completed behind it, as that runs foreign code. Requests are sent
// by whoever hands in a call or reads an answer, under mutex_, never blocking: what a socket does not take waits in its
// lane until the socket has room.
//
// Answers are read by one thread at a time, who holds collecting_: a thread that waits for a result (the visitor), else
// the pool's own thread (the resident). While visitors come and go the resident looks only now and then whether it is
// needed, so that who submits and waits in turn wakes nobody but the worker; when none has come for a while it sleeps
// in epoll_wait, as a visitor does, and then `wake_` gets it out.
//
// Locks are taken in this order: collecting_, mutex_.
#pragma once
#include <tutti/base/registry.hpp>
#include <tutti/core/call.hpp>
#include <tutti/core/executor.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/core/wait_list.hpp>
#include <tutti/mpi/inside/pool_wire.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tutti::mpi::detail {

/// A call on its way.
struct pool_job {
  explicit pool_job(call w)
      : work(std::move(w)),
        target(work->portable()),
        function(&target->function()),
        name(work->name()),
        limits(target->limits()),
        retries(limits.retries),
        priority(work->priority()) {}

  /// In the place of one that has its end before its worker has answered.
  pool_job(const pool_job& other, std::uint64_t its_ticket)
      : work(nullptr),
        target(nullptr),
        function(other.function),
        name(other.name),
        retries(0),
        priority(other.priority),
        ticket(its_ticket),
        frame(other.frame) {}

  call work;              // its handle, until it has left; then `target` is that
  portable_call* target;  // null: it has come to its end, and only its worker is waited for
  const function_info* const function;
  const char* const name;
  std::shared_ptr<const std::string> bytes;  // encoded arguments
  const call_limits limits;
  int retries;
  const int priority;
  std::uint64_t ticket = 0;  // in its lane
  std::uint64_t frame = 0;   // in which it was sent
  timer expiry;              // of its timeout
};

/// One worker, seen from rank 0.
struct pool_lane {
  explicit pool_lane(rank_link l) : link(std::move(l)) {}
  rank_link link;
  bool is_lost = false;
  bool is_stuck = false;        // runs a call whose time is over: it gets no other one
  int unanswered = 0;           // control messages
  std::deque<pool_job*> given;  // in order; the worker runs the first, or has answered
  std::vector<bool> defined;    // functions
  std::uint64_t last_ticket = 0, last_frame = 0;
  struct piece {
    std::string own;
    std::shared_ptr<const std::string> shared;
    [[nodiscard]] const std::string& text() const noexcept { return shared != nullptr ? *shared : own; }
  };
  std::deque<piece> out;     // that the socket has not taken
  std::size_t out_done = 0;  // of the first
  bool wants_room = false;   // epoll tells
  // The collector's own.
  std::string in, control_in;
};

class pool_core final : public call_runner, public std::enable_shared_from_this<pool_core> {
 public:
  pool_core(std::string name, std::vector<rank_link> links);
  ~pool_core() override = default;
  pool_core(const pool_core&) = delete;
  pool_core& operator=(const pool_core&) = delete;
  /// Begins to read answers.
  void open();

  void start(call work);
  void shutdown(shutdown_mode mode);
  [[nodiscard]] int workers() const noexcept { return living_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool has_lost_any() const noexcept { return has_lost_.load(std::memory_order_relaxed); }

  void retain_handle() noexcept { handles_.fetch_add(1, std::memory_order_relaxed); }
  /// The last handle finishes the work.
  void release_handle() noexcept;

  void stop(portable_call& call) noexcept override;
  void help(bool (*is_done)(const void*), const void* context) noexcept override;

 private:
  // What has ended, to be completed without the lock.
  struct ended {
    pool_job* job = nullptr;
    std::exception_ptr error;  // null: `result`, if `has_result`; else it has its end already
    std::string_view result;
    bool has_result = false;
  };
  using endings = std::vector<ended>;
  void complete(endings& all) noexcept;

  // ---- under mutex_
  void dispatch(endings& over);
  pool_job* next_queued() noexcept;
  pool_lane* lane_for_more() noexcept;
  [[nodiscard]] std::size_t frame_length() const noexcept;
  void give_frame(pool_lane& to, endings& over);
  void add_call(pool_lane& to, std::string& frame, std::vector<pool_lane::piece>& pieces, pool_job& one);
  void send(pool_lane& to) noexcept;
  void started(pool_lane& in);
  void balance() noexcept;
  void ask_back(pool_lane& from, control_kind kind, std::uint64_t first, std::uint64_t last) noexcept;
  void take_back(pool_lane& from, endings& over);
  void enqueue(pool_job& one, bool at_front);
  void end(endings& over, pool_job& one, std::exception_ptr error);
  void end_all_queued(endings& over, const std::exception_ptr& why);
  [[nodiscard]] std::exception_ptr loss_of(const pool_lane& dead, const pool_job& victim) const;

  // ---- by timers
  void expired(std::size_t which, std::uint64_t ticket);

  // ---- by the collector
  bool collect(int timeout_ms);
  void read_answers(pool_lane& from);
  void read_control(pool_lane& from);
  void lose(pool_lane& dead);
  void reside();
  void wake_collector() noexcept;

  const std::string name_;
  const unique_fd epoll_, wake_;
  std::mutex collecting_;
  std::atomic<bool> is_visited_{false};  // at most one visitor collects
  std::atomic<std::uint64_t> visits_{0};
  std::atomic<bool> sleeps_{false};  // who collects is in epoll_wait; seq_cst with what it looks for before
  std::mutex napping_mutex_;
  std::condition_variable napping_;
  std::atomic<bool> naps_long_{false};
  std::atomic<bool> leaving_{false};
  bool has_dismissed_ = false;  // workers were told to leave, and do; under mutex_

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<pool_lane>> lanes_;
  std::map<int, std::deque<pool_job*>, std::greater<>> queues_;
  std::size_t queued_ = 0;
  std::map<std::pair<const function_info*, const char*>, std::uint32_t> numbers_;
  double average_ = 0;  // ns per call, of late; 0: not known
  bool closed_ = false;
  std::exception_ptr cancelled_;
  std::exception_ptr last_loss_;
  std::atomic<int> living_, handles_{1};
  std::atomic<bool> has_lost_{false};

  std::atomic<std::uint64_t> left_{0};  // jobs that are not at their end; seq_cst, as wait_list wants it
  wait_list drained_;
  std::mutex shutting_down_;
  bool shut_down_ = false;
  std::thread resident_;
};

}  // namespace tutti::mpi::detail
