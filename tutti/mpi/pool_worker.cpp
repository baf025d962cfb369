#include <tutti/base/codec.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/registry.hpp>
#include <tutti/base/throw_stack.hpp>
#include <tutti/core/call_in_progress.hpp>
#include <tutti/core/future_state.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/core/task_frame.hpp>
#include <tutti/mpi/inside/pool_worker.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace tutti::mpi::detail {
namespace {

using clock = std::chrono::steady_clock;
using tutti::detail::call_in_progress;
using tutti::detail::known_function;

// A call is begun, by the thread that runs calls, or given back, by the one that hears the second socket, under mutex_:
// one of the two, once.
class pool_worker {
 public:
  explicit pool_worker(rank_link link) : link_(std::move(link)), hearing_([this] { hear(); }) {}
  ~pool_worker() {
    ::shutdown(link_.control.get(), SHUT_RDWR);
    hearing_.join();
  }
  pool_worker(const pool_worker&) = delete;
  pool_worker& operator=(const pool_worker&) = delete;

  void serve() {
    for (;;) {
      frame_head head;
      receive(&head, sizeof head);
      frame_.resize(head.bytes);
      receive(frame_.data(), frame_.size());
      for (std::string_view left = frame_; !left.empty();) {
        request_head asked;
        if (left.size() < sizeof asked) throw decode_error("rank_pool: a request is cut off");
        std::memcpy(&asked, left.data(), sizeof asked);
        left.remove_prefix(sizeof asked);
        if (left.size() < asked.bytes) throw decode_error("rank_pool: a request is cut off");
        const std::string_view bytes = left.substr(0, asked.bytes);
        left.remove_prefix(asked.bytes);
        if (asked.kind == request_kind::leave) return;
        if (asked.kind == request_kind::define) {
          define(asked.function, bytes);
        } else {
          call(asked, bytes);
        }
      }
      answer();
      if (frame_.capacity() > most_kept) std::string().swap(frame_);
    }
  }

 private:
  static constexpr std::size_t most_kept = std::size_t{64} << 20;
  static constexpr std::size_t most_waiting = std::size_t{64} << 10;
  static constexpr std::chrono::microseconds longest_wait{100};

  [[noreturn]] void caller_lost() const { throw worker_lost("rank_pool: rank 0, the caller's, has died"); }

  // Looks for a while before it sleeps: who was busy a moment ago will be so again.
  void receive(void* to, std::size_t bytes) {
    auto* at = static_cast<char*>(to);
    spinner spin(spinner::before_sleep);
    while (bytes != 0) {
      const ssize_t got = ::recv(link_.data.get(), at, bytes, MSG_DONTWAIT);
      if (got > 0) {
        at += got;
        bytes -= static_cast<std::size_t>(got);
        spin.restart();
      } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        caller_lost();
      } else if (!spin.once()) {
        pollfd more{link_.data.get(), POLLIN, 0};
        ::poll(&more, 1, -1);
        spin.restart();
      }
    }
  }

  void define(std::uint32_t number, std::string_view bytes) {
    if (functions_.size() <= number) functions_.resize(number + 1);
    known_function& made = functions_[number];
    try {
      auto definition = decode<function_definition>(bytes);
      made.name = std::move(definition.name);
      made.function = &find_function(definition.function, definition.signature);
    } catch (...) {
      made.missing = std::current_exception();  // each call of it says so
    }
  }

  void call(const request_head& asked, std::string_view arguments) {
    const known_function& known = functions_.at(asked.function);
    auto* const state = new call_in_progress(known.name, asked.timeout);
    if (!begin(asked.ticket, state)) return state->over();
    const auto begun = clock::now();
    const std::size_t head_at = out_.size();
    out_.append(sizeof(response_head), '\0');
    const std::size_t result_at = out_.size();
    response_head head{.ticket = asked.ticket};
    try {
      run(known, state, arguments);
    } catch (...) {
      head.failed = 1;
      out_.resize(result_at);
      out_ += encode_exception(std::current_exception(), &tutti::throw_stack);
    }
    end(state);
    const auto now = clock::now();
    head.took = (now - begun).count();
    head.bytes = out_.size() - result_at;
    std::memcpy(out_.data() + head_at, &head, sizeof head);
    if (out_.size() >= most_waiting || now - answered_ > longest_wait) answer();
  }

  void run(const known_function& known, call_in_progress* state, std::string_view arguments) {
    if (known.missing) std::rethrow_exception(known.missing);
    using tutti::this_frame;
    tutti::task_frame frame{this_frame, state->describe(), state, nullptr, nullptr, 0, 0};
    frame.party = state;
    this_frame = &frame;
    std::exception_ptr failure;
    try {
      tutti::noting_throws([&] { known.function->invoke(arguments, out_); });
    } catch (...) {
      failure = std::current_exception();
    }
    this_frame = frame.parent;
    if (failure) std::rethrow_exception(failure);
  }

  void answer() {
    if (!out_.empty()) {
      std::cout.flush();
      std::fflush(stdout);  // what a call has said is said when it is over, also if the rank dies later
      // Nobody reads any more: either rank 0 has said that it is over, which comes next, or it has died.
      static_cast<void>(send_all(link_.data.get(), out_));
      out_.clear();
      if (out_.capacity() > most_kept) std::string().swap(out_);
    }
    answered_ = clock::now();
  }

  // False: it was given back.
  bool begin(std::uint64_t ticket, call_in_progress* state) {
    const std::lock_guard lock(mutex_);
    std::erase_if(gone_, [&](const auto& range) { return range.second < ticket; });
    for (const auto& [first, last] : gone_) {
      if (first <= ticket && ticket <= last) return false;
    }
    begun_ = ticket;
    link_.progress->begun.store(ticket, std::memory_order_relaxed);  // read when this process is dead
    running_ = state;
    return true;
  }
  void end(call_in_progress* state) {
    {
      const std::lock_guard lock(mutex_);
      running_ = nullptr;
    }
    state->over();
  }

  void hear() {
    ::sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);  // the calls' handlers are for their thread
    for (control_message said; receive_all(link_.control.get(), &said, sizeof said);) {
      control_message given_back{.kind = control_kind::given_back};
      {
        const std::lock_guard lock(mutex_);
        if (said.kind == control_kind::stop && begun_ == said.first && running_ != nullptr) running_->request_stop();
        given_back.first = std::max(said.first, begun_ + 1);
        given_back.last = said.last;
        if (given_back.first <= given_back.last) gone_.emplace_back(given_back.first, given_back.last);
      }
      if (!send_all(link_.control.get(), bytes_of(given_back))) return;
    }
  }

  rank_link link_;
  std::vector<known_function> functions_;
  std::string frame_, out_;  // what came; answers that have not left
  clock::time_point answered_ = clock::now();

  std::mutex mutex_;
  std::uint64_t begun_ = 0;                                    // the last that was; tickets only grow
  std::vector<std::pair<std::uint64_t, std::uint64_t>> gone_;  // were given back, and may still come by
  call_in_progress* running_ = nullptr;
  std::thread hearing_;
};

}  // namespace

void serve_rank_pool(rank_link link) { pool_worker(std::move(link)).serve(); }

}  // namespace tutti::mpi::detail
