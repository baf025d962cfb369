#include <tutti/process/pool_worker.hpp>

#include <tutti/base/at_fork.hpp>
#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/throw_stack.hpp>
#include <tutti/core/call_in_progress.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/portable_task.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/task_frame.hpp>
#include <tutti/process/descriptor_reserve.hpp>
#include <tutti/process/find_loaded.hpp>
#include <tutti/process/handles.hpp>
#include <tutti/process/parcels.hpp>
#include <tutti/process/pool_wire.hpp>
#include <tutti/process/process_futex.hpp>
#include <tutti/process/shared_memory.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <limits>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace tutti::detail {
namespace {

using clock = std::chrono::steady_clock;

class pool_worker {
 public:
  pool_worker(shared_memory lane, shared_memory bell, message_socket socket)
      : lane_memory_(std::move(lane)),
        bell_memory_(std::move(bell)),
        socket_(std::move(socket)),
        socket_file_(socket_.fd()),
        lane_(*reinterpret_cast<lane_memory*>(lane_memory_.data())),
        bell_(*reinterpret_cast<bell_words*>(bell_memory_.data())),
        requests_(lane_.requests),
        responses_(lane_.responses),
        reserve_(lane_memory_.fd()) {
    lane_.pid.store(::getpid(), std::memory_order_relaxed);
    // Registered before any call can register something, so it is called when that has been destroyed, but before what
    // was there before: functions by their names.
    serving = this;
    std::atexit([] { serving->take_no_more(); });
  }

  int serve() {
    // Not joined: it sleeps for ever, and goes with the process. Before the limit, as its stack is not the calls'.
    std::thread([this] { hear_stops(); }).detach();
    limit_memory();
    part_begun = &lane_.part;
    if (lane_.has_initializer == 0) say_ready();
    for (;;) {
      record& next = wait_for_request();
      lane_.part.store(0, std::memory_order_relaxed);
      std::optional<taking> now(std::in_place, *this);
      if (!requests_.claim(next)) {
        pop();
        continue;
      }
      request_head head;
      std::memcpy(&head, next.data(), sizeof head);
      const std::string_view rest(reinterpret_cast<const char*>(next.data()) + sizeof head,
                                  requests_.front_size() - sizeof head);
      if (head.kind != request_kind::define) now.reset();
      switch (head.kind) {
        case request_kind::leave: pop(); return EXIT_SUCCESS;
        case request_kind::forget: incoming_.forget(head.parcel); break;
        case request_kind::lost: outgoing_.drop(head.parcel); break;
        case request_kind::define: define(head.function, rest); break;
        case request_kind::call:
          if (!take_along(head)) {
            response_head refusal;
            refusal.kind = response_kind::refused;
            refusal.ticket = head.ticket;
            publish(refusal, {});
            ring_now();
            return EXIT_FAILURE;
          }
          call(next, head, rest);
          break;
        case request_kind::initialise:
          if (!take_along(head)) {
            response_head answer;
            answer.kind = response_kind::error;
            answer.ticket = head.ticket;
            result_ = encode_exception(
                std::make_exception_ptr(worker_lost("the arguments of the initializer did not reach the worker: it has "
                                                    "no memory or descriptors for them")));
            respond(answer);
            ring_now();
            return EXIT_FAILURE;
          }
          if (!call(next, head, rest)) return EXIT_FAILURE;  // it has said why
          say_ready();
          break;
      }
      pop();
    }
  }

 private:
  // While it takes a call, and looks for its function. A thread that a call has left behind may end the process: then
  // what is registered goes, and what comes is for other workers.
  class taking {
   public:
    explicit taking(pool_worker& w) noexcept : worker_(w) {
      worker_.is_taking_.store(true,
                               std::memory_order_seq_cst);  // before the look: take_no_more() looks after its store
      if (!worker_.takes_no_more_.load(std::memory_order_seq_cst)) return;
      worker_.is_taking_.store(false, std::memory_order_release);
      for (;;) ::pause();
    }
    ~taking() { worker_.is_taking_.store(false, std::memory_order_release); }
    taking(const taking&) = delete;
    taking& operator=(const taking&) = delete;

   private:
    pool_worker& worker_;
  };
  void take_no_more() noexcept {
    // In a forked child nobody takes anything; the thread that serves cannot wait for itself.
    if (forks_ != forks_before_this_process() || std::this_thread::get_id() == serving_thread_) return;
    takes_no_more_.store(true, std::memory_order_seq_cst);
    while (is_taking_.load(std::memory_order_seq_cst)) ::sched_yield();
  }

  // What was sent beside the record of a call. False: it has not arrived, and never will.
  bool take_along(const request_head& head) noexcept {
    if (head.has_handles == 0 && (head.parcel == 0 || incoming_.has(head.parcel))) return true;
    if (!socket_file_.is_that_of(socket_.fd())) return false;
    if (!may_open()) reserve_.let_go();
    try {
      if (head.parcel != 0) incoming_.get(head.parcel, head.size, socket_);
      if (head.has_handles != 0) handles_ = incoming_.take_handles(head.ticket, socket_);
      return true;
    } catch (const std::exception&) {  // no descriptors, no memory
      return false;
    }
  }

  bool may_open() const noexcept {
    return static_cast<bool>(unique_fd(::fcntl(lane_memory_.fd(), F_DUPFD_CLOEXEC, 0)));
  }

  // Calls may have closed what we need, or taken all descriptors, which takes them some time.
  void look_for_damage() {
    if (unlooked_ < worth_a_look) return;
    unlooked_ = 0;
    if (is_worn_ || (socket_file_.is_that_of(socket_.fd()) && may_open())) return;
    is_worn_ = true;
    response_head head;
    head.kind = response_kind::worn;
    publish(head, {});
  }

  void say_ready() {
    response_head head;
    head.kind = response_kind::ready;
    publish(head, {});
  }

  // The room is published (seq_cst) before this looks whether the pool waits for it.
  void pop() noexcept {
    requests_.pop();
    if (lane_.requests_full.load(std::memory_order_seq_cst) != 0 &&
        lane_.requests_full.exchange(0, std::memory_order_seq_cst) != 0) {
      ring(bell_);
    }
  }

  record& wait_for_request() {
    record* next = requests_.front();
    // Who was busy a moment ago will be so again: the pool's answer to a response takes some microseconds. So does the
    // way of a thread from submit to get: who is about to look need not be woken, nor the resident in its place.
    const auto begun = clock::now();
    for (spinner spin(spinner::before_sleep); next == nullptr && spin.once();) {
      next = requests_.front();
      if (must_ring_ && clock::now() - begun > time_to_come) ring_now();
    }
    if (must_ring_) ring_now();
    if (next != nullptr) return *next;
    for (;;) {
      lane_.worker_hint.sleeps();
      lane_.worker_sleeps.store(1, std::memory_order_seq_cst);
      if (requests_.is_empty()) {
        process_futex_wait(lane_.worker_sleeps, 1, clock::time_point::max());
        lane_.worker_hint.woken();
      }
      lane_.worker_sleeps.store(0, std::memory_order_relaxed);
      next = requests_.front();
      if (next != nullptr) return *next;
    }
  }

  // The limit is for what the tasks add: heap and anonymous mappings, not shared memory.
  void limit_memory() {
    if (lane_.memory_limit == 0) return;
    std::size_t pages[6] = {};
    std::ifstream in("/proc/self/statm");
    for (std::size_t& n : pages) in >> n;
    const ::rlim_t now = static_cast<::rlim_t>(pages[5]) * static_cast<::rlim_t>(::sysconf(_SC_PAGESIZE));
    const ::rlim_t room = std::numeric_limits<::rlim_t>::max() - now;
    const ::rlim_t most = lane_.memory_limit < room ? now + lane_.memory_limit : RLIM_INFINITY;
    ::rlimit present{};
    ::getrlimit(RLIMIT_DATA, &present);
    const ::rlim_t possible = std::min(most, present.rlim_max);  // nobody may raise that again
    const ::rlimit both{possible, possible};
    if (::setrlimit(RLIMIT_DATA, &both) != 0) throw os_error::of("cannot limit the memory of a worker", errno);
  }

  void define(std::uint32_t number, std::string_view bytes) {
    if (functions_.size() <= number) functions_.resize(number + 1);
    known_function& made = functions_[number];
    try {
      auto definition = decode<function_definition>(bytes);
      made.name = std::move(definition.name);
      made.function = &find_loaded(definition.function, definition.signature, definition.library);
    } catch (...) {
      made.missing = std::current_exception();  // each call of it says so
    }
  }

  // False: it threw.
  bool call(record& asked, const request_head& head, std::string_view inline_arguments) {
    const auto begun = clock::now();
    bool ok = true;
    outgoing_handles with_result;
    result_.clear();
    try {
      run(asked, head, inline_arguments);
    } catch (const std::bad_alloc&) {
      ok = false;
      result_.clear();
      if (result_.capacity() > most_inline) result_.shrink_to_fit();  // what is left is for the message
      result_ = encode_exception(std::current_exception());
    } catch (...) {
      ok = false;
      result_ = encode_exception(std::current_exception(), &throw_stack);
    }
    std::cout.flush();
    std::fflush(stdout);  // what a task has said is said when it is over, also if the worker dies later
    response_head answer;
    if (!ok) answer.kind = response_kind::error;
    answer.ticket = head.ticket;
    answer.took = (clock::now() - begun).count();
    unlooked_ += answer.took;
    const std::vector<unique_fd> handles = with_result.take();
    if (ok && !handles.empty()) {
      answer.has_handles = 1;
      if (!socket_file_.is_that_of(socket_.fd()) || !hand_over(head.ticket, handles)) {
        ok = false;
        answer.has_handles = 0;
        answer.kind = response_kind::error;
        result_ = encode_exception(std::make_exception_ptr(
            closed("the result has shared objects, which cannot be sent: a task has closed the worker's socket")));
      }
    }
    // Before the answer: whoever has that must not have the next call given to this worker.
    if (head.kind == request_kind::call) look_for_damage();
    respond(answer);
    return ok;
  }

  bool hand_over(std::uint64_t ticket, const std::vector<unique_fd>& handles) {
    try {
      return send_handles(ticket, handles, socket_);
    } catch (const error&) {
      return false;
    }
  }

  void run(record& asked, const request_head& head, std::string_view arguments) {
    const incoming_handles with_arguments(std::exchange(handles_, {}));
    if (head.parcel != 0) arguments = incoming_.get(head.parcel, head.size, socket_);
    if (head.function >= functions_.size()) throw decode_error("a call of a function that was not defined");
    const known_function& known = functions_[head.function];
    if (known.missing) std::rethrow_exception(known.missing);
    auto* const state = new call_in_progress(known.name, head.timeout);
    begin(asked, state);
    task_frame frame{this_frame, state->describe(), state, nullptr, nullptr, 0, 0};
    frame.party = state;
    this_frame = &frame;
    std::exception_ptr failure;
    try {
      noting_throws([&] { known.function->invoke(arguments, result_); });
    } catch (...) {
      failure = std::current_exception();
    }
    if (forks_ != forks_before_this_process()) ::_exit(EXIT_SUCCESS);  // a fork that the call let go on
    this_frame = frame.parent;
    end();
    state->over();
    if (failure) std::rethrow_exception(failure);
  }

  void respond(response_head answer) {
    if (result_.size() > most_inline && socket_file_.is_that_of(socket_.fd())) {
      try {
        answer.parcel = outgoing_.put(result_, socket_);
      } catch (const os_error& e) {
        if (e.code() != EMFILE && e.code() != ENFILE) failed_to_put(answer);  // else it goes in pieces
      } catch (const std::exception&) {                                       // no memory for so long a result
        failed_to_put(answer);
      }
      while (const std::uint32_t dropped = outgoing_.take_dropped()) {
        response_head forget;
        forget.kind = response_kind::forget;
        forget.parcel = dropped;
        publish(forget, {});
      }
    }
    answer.size = result_.size();
    std::string_view rest = answer.parcel == 0 ? std::string_view(result_) : std::string_view();
    for (; rest.size() > most_inline; rest.remove_prefix(most_inline)) {
      response_head part = answer;
      part.kind = response_kind::part;
      publish(part, rest.substr(0, most_inline));
    }
    publish(answer, rest);
    if (result_.capacity() > most_kept_result) std::string().swap(result_);
  }

  void failed_to_put(response_head& answer) {
    answer.kind = response_kind::error;
    answer.has_handles = 0;
    result_ = encode_exception(std::current_exception());
  }

  void publish(const response_head& head, std::string_view bytes) {
    const auto size = static_cast<std::uint32_t>(sizeof head + bytes.size());
    std::byte* room = responses_.prepare(size);
    while (room == nullptr) {  // until the pool has read some
      if (must_ring_) ring_now();
      lane_.responses_full.store(1, std::memory_order_seq_cst);
      room = responses_.prepare(size);
      if (room == nullptr) process_futex_wait(lane_.responses_full, 1, clock::time_point::max());
      lane_.responses_full.store(0, std::memory_order_relaxed);
      if (room == nullptr) room = responses_.prepare(size);
    }
    std::memcpy(room, &head, sizeof head);
    if (!bytes.empty()) std::memcpy(room + sizeof head, bytes.data(), bytes.size());
    responses_.publish();
    must_ring_ = true;
    // Somebody is there, and may sleep.
    if (bell_.visitor.load(std::memory_order_seq_cst) != bell_words::away) ring_now();
  }

  void ring_now() noexcept {
    must_ring_ = false;
    ring(bell_);
  }

  // ---- stops, which come while a call runs: a thread of their own hears of them

  void begin(record& asked, call_in_progress* state) {
    const std::lock_guard lock(mutex_);
    running_ = &asked;
    state_ = state;
    if (asked.stopping.load(std::memory_order_seq_cst) != 0) state->request_stop();  // asked before it had begun
  }
  void end() {
    const std::lock_guard lock(mutex_);
    state_ = nullptr;
  }
  void hear_stops() {
    ::sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);  // the tasks' handlers are for their thread
    for (std::uint32_t seen = 0;;) {
      process_futex_wait(lane_.stops, seen, clock::time_point::max());
      seen = lane_.stops.load(std::memory_order_seq_cst);
      const std::lock_guard lock(mutex_);
      if (state_ != nullptr && running_->stopping.load(std::memory_order_seq_cst) != 0) state_->request_stop();
    }
  }

  static constexpr std::chrono::microseconds time_to_come{3};
  static constexpr std::int64_t worth_a_look = 5000;
  // Kept for the next one, warm.
  static constexpr std::size_t most_kept_result = std::size_t{256} << 20;

  const shared_memory lane_memory_, bell_memory_;
  message_socket socket_;
  const file_identity socket_file_;
  lane_memory& lane_;
  bell_words& bell_;
  lane_ring requests_, responses_;
  std::vector<known_function> functions_;
  parcel_receiver incoming_;
  parcel_sender outgoing_{parcel_sender::freed::by_receiver};
  std::vector<unique_fd> handles_;  // of the call that is about to run
  descriptor_reserve reserve_;
  std::string result_;
  std::int64_t unlooked_ = 0;  // ns of calls since the last look for damage
  bool is_worn_ = false;
  std::atomic<bool> is_taking_{false}, takes_no_more_{false};
  const std::thread::id serving_thread_ = std::this_thread::get_id();
  static inline pool_worker* serving = nullptr;
  bool must_ring_ = false;  // something was published, and nobody told

  const std::uint32_t forks_ = forks_before_this_process();
  std::mutex mutex_;
  record* running_ = nullptr;  // while state_ is not null: it is popped after that
  call_in_progress* state_ = nullptr;
};

}  // namespace

int serve_pool(std::vector<unique_fd> handles) {
  if (handles.size() != 3) throw decode_error("a worker was started without its lane");
  shared_memory lane(std::move(handles[0]), "a worker's lane");
  shared_memory bell(std::move(handles[1]), "a pool's bell");
  if (lane.size() < sizeof(lane_memory) || bell.size() < sizeof(bell_words))
    throw decode_error("a worker's lane is too small");
  // Never destroyed: its thread of stops uses it to the end.
  auto* const worker = new pool_worker(std::move(lane), std::move(bell), message_socket(std::move(handles[2])));
  return worker->serve();
}

}  // namespace tutti::detail
