// future_state: what a future and whoever completes it share: a status, a result or an error, waiters and callbacks.
//
// One status word decides everything, so each question has one answer:
//   begun      run, cancelled or abandoned: the first to set it decides which        (claim)
//   settling   the first to set it writes the result                                  (begin_settle)
//   ready      the result is there                                                    (finish_settle, with release)
//   attended   somebody sleeps or left a callback: the settler looks at the lists
//   stop       asked to stop
//   observed   somebody has seen, or will see, the error
//   weak       somebody without a reference may try to get one (try_retain)
//
// The references are counted in the same word, so that whoever runs a task settles it and gives up the queue's
// reference in one step.
#pragma once
#include <tutti/core/fork_deque.hpp>
#include <tutti/core/wait_list.hpp>

#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace tutti {

class future_state_base;

/// A task's name for people: one without a name of its own has its coroutine's signature, of which this gives the name.
std::string_view shown_name(std::string_view name) noexcept;
/// How errors call the task of that name, which may be empty.
std::string task_text(const char* name);
/// What `timed_out` says of it.
std::string timeout_text(const char* name, std::chrono::nanoseconds limit);

/// Called once when a future becomes ready, on the thread that made it so; or behind another callback that sleeps: then
/// on a thread of default_pool().
class ready_callback {
 public:
  virtual void on_ready(future_state_base& state) noexcept = 0;

 protected:
  ~ready_callback() = default;

 private:
  ready_callback* next_ = nullptr;
  future_state_base* state_ = nullptr;
  friend class future_state_base;
};

class future_state_base {
 public:
  future_state_base(const future_state_base&) = delete;
  future_state_base& operator=(const future_state_base&) = delete;

  void retain() noexcept { status_.fetch_add(one_reference, std::memory_order_relaxed); }
  /// False when the last reference is gone already. Only after allow_try_retain.
  bool try_retain() noexcept {
    std::uint64_t seen = status_.load(std::memory_order_relaxed);
    while (seen >= one_reference &&
           !status_.compare_exchange_weak(seen, seen + one_reference, std::memory_order_relaxed)) {
    }
    return seen >= one_reference;
  }
  /// By a holder of a reference, before it tells others of this object.
  void allow_try_retain() noexcept { status_.fetch_or(weak, std::memory_order_relaxed); }
  void release() noexcept {
    // acquire: all uses by those who have released come before the destruction. Who holds the only reference needs no
    // read-modify-write to be the last, unless there is somebody who could get one from nothing.
    const std::uint64_t seen = status_.load(std::memory_order_acquire);
    if ((seen < 2 * one_reference && (seen & weak) == 0) ||
        status_.fetch_sub(one_reference, std::memory_order_acq_rel) < 2 * one_reference) {
      destroy();
    }
  }

  // ---- the completing side
  /// True for the one who may run, cancel or abandon it.
  bool claim() noexcept { return (status_.fetch_or(begun, std::memory_order_acq_rel) & begun) == 0; }
  bool has_begun() const noexcept { return (status_.load(std::memory_order_relaxed) & begun) != 0; }
  /// True for the one who may write the result, and then must call finish_settle.
  bool begin_settle() noexcept {
    return (status_.fetch_or(settling | begun, std::memory_order_acq_rel) & settling) == 0;
  }
  void finish_settle() noexcept {
    // seq_cst: pairs with who sets `attended` and then looks at `ready` once more; release: publishes the result.
    if ((status_.fetch_or(ready | settling, std::memory_order_seq_cst) & attended) != 0) [[unlikely]]
      wake();
  }
  /// The same, by the only one who may settle it, and ends this handle to it.
  void finish_settle_and_release() noexcept {
    std::uint64_t seen = status_.load(std::memory_order_relaxed);
    do {
      if ((seen & attended) != 0) [[unlikely]] {
        finish_settle();
        return release();
      }
      // acq_rel: as in finish_settle, and as in release.
    } while (!status_.compare_exchange_weak(seen, (seen | ready | settling) - one_reference, std::memory_order_seq_cst,
                                            std::memory_order_relaxed));
    if (seen < 2 * one_reference) destroy();
  }
  /// Settles with an error unless settled already.
  bool settle_error(std::exception_ptr error) noexcept;

  /// Tells waiting workers of the same pool where it runs: what stands above that descends from it until it is ready.
  /// Called by the runner, before anything else. Not of coroutines, which leave their worker while they wait.
  void runs_at(const root& where) noexcept {
    root_ = where;
    located_.store(true, std::memory_order_release);
  }

  // ---- the waiting side
  bool is_ready() const noexcept { return (status_.load(std::memory_order_seq_cst) & ready) != 0; }
  /// When its timeout is over; nothing without one, or before it runs.
  virtual std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept { return std::nullopt; }

  /// Blocks until ready. A pool's worker first runs the awaited task itself if it has not begun, or what descends from
  /// it.
  void wait(const place& here);
  wait_result wait(const wait_how& how);
  /// Calls back once ready; at once if it is. The callback stays the caller's, and must live until called.
  void when_ready(ready_callback& callback) noexcept;
  /// Takes a callback back: true if it was waiting and now never will be called, false if it was, or is being, called.
  bool forget(const ready_callback* callback) noexcept;

  /// On a worker of its home: runs the awaited work on this thread if it may and has not begun; false if it could not.
  virtual bool run_here() noexcept { return false; }
  /// In a coroutine that awaits it: the same for other coroutine tasks, which leave the thread when they wait. The
  /// caller has seen to it that it is where they are to run.
  virtual bool begin_awaited() noexcept { return false; }
  /// Somebody of this priority waits for it: begins no later than other work of that priority.
  virtual void expedite(int priority) noexcept { static_cast<void>(priority); }
  /// Completes it with `cancelled` if it has not begun (true), else, or if that is for its own thread to do, asks it to
  /// stop.
  bool cancel() noexcept;
  void request_stop() noexcept;
  // seq_cst: for who has told where it runs, and then looks, see portable_task.hpp.
  bool stop_requested() const noexcept { return (status_.load(std::memory_order_seq_cst) & stop) != 0; }
  std::stop_token stop_token();

  /// For people: the name of the task behind it, or "".
  virtual const char* describe() const noexcept { return ""; }
  /// For observers of waits.
  wait_target as_target() const noexcept;

  const std::exception_ptr& error() const noexcept { return error_; }
  void observe() noexcept { status_.fetch_or(observed, std::memory_order_relaxed); }
  /// The executor it belongs to, see home.hpp; 0: none.
  std::uint64_t home() const noexcept { return home_; }

 protected:
  explicit future_state_base(std::uint32_t references, std::uint64_t home = 0) noexcept
      : status_(references * one_reference), home_(home) {}
  virtual ~future_state_base();

  /// It was claimed, and will not begin: gives up what it would have used, before anybody can see that it is over.
  virtual void drop() noexcept {}
  /// Whether that is for the thread that would run it, so that a stop before it begins is left to that.
  virtual bool is_dropped_at_home() const noexcept { return false; }
  /// It was asked to stop after it had begun.
  virtual void stopping() noexcept {}
  /// A thread outside pools is about to block until it is ready, without a limit: may bring that about.
  virtual void attend() noexcept {}
  /// Passes a cancellation on to what this result is made from.
  virtual void cancel_sources() noexcept {}
  /// Between begin_settle and finish_settle.
  void set_error(std::exception_ptr error) noexcept { error_ = std::move(error); }

 private:
  struct stop_state;
  class callback_queue;
  static constexpr std::uint64_t begun = 1, settling = 2, ready = 4, attended = 8, stop = 16, observed = 32, weak = 64,
                                 one_reference = 128;

  void destroy() noexcept;
  void wake() noexcept;
  bool help(worker& self, bool& looked, const wait_how& how);
  void wait_helping(const place& here);
  wait_result wait_for_others(const wait_how& how);
  wait_result sleep(const wait_how& how);
  void refuse_own_loop(const char* what, const place& here);

  std::atomic<std::uint64_t> status_;
  const std::uint64_t home_;
  std::exception_ptr error_;
  wait_list waiters_;
  ready_callback* callbacks_ = nullptr;  // under waiters_.mutex(), newest first
  std::atomic<stop_state*> stop_state_{nullptr};
  root root_{};
  std::atomic<bool> located_{false};  // root_ is known
};

/// What a stop token given with the call does. Needs allow_try_retain.
struct cancel_on_stop {
  future_state_base* state;
  void operator()() const noexcept {
    // Its last reference may be gone, and its destructor waiting for us.
    if (!state->try_retain()) return;
    state->cancel();
    state->release();
  }
};

/// The state of a future<T>.
template <class T>
class future_state : public future_state_base {
 public:
  using value_type = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  explicit future_state(std::uint32_t references, std::uint64_t home = 0) noexcept
      : future_state_base(references, home) {}
  ~future_state() override {
    if (has_value_) value_.~value_type();
  }

  /// Settles with a value unless settled already; with the exception, if constructing the value throws.
  template <class... A>
  bool settle_value(A&&... arguments) noexcept {
    if (!begin_settle()) return false;
    construct(std::forward<A>(arguments)...);
    finish_settle();
    return true;
  }
  /// The same for the only one who can; ends this handle to it.
  template <class... A>
  void settle_and_release(A&&... arguments) noexcept {
    construct(std::forward<A>(arguments)...);
    finish_settle_and_release();
  }
  /// The first half of that.
  template <class... A>
  void construct(A&&... arguments) noexcept {
    try {
      ::new (static_cast<void*>(std::addressof(value_))) value_type(std::forward<A>(arguments)...);
      has_value_ = true;
    } catch (...) {
      set_error(std::current_exception());
    }
  }

  /// The value of a ready state; throws its error.
  value_type& value() {
    if (!has_value_) {
      observe();
      std::rethrow_exception(error());
    }
    return value_;
  }

 private:
  union {
    value_type value_;
  };
  bool has_value_ = false;
};

/// Owns one reference to a state.
template <class State>
class state_ref {
 public:
  state_ref() = default;
  explicit state_ref(State* adopted) noexcept : state_(adopted) {}
  state_ref(const state_ref& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->retain();
  }
  template <class Derived>
    requires std::is_convertible_v<Derived*, State*>
  state_ref(state_ref<Derived>&& other) noexcept : state_(other.release()) {}  // NOLINT(google-explicit-constructor)
  state_ref(state_ref&& other) noexcept : state_(other.release()) {}
  state_ref& operator=(state_ref other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~state_ref() {
    if (state_ != nullptr) state_->release();
  }
  State* get() const noexcept { return state_; }
  State* operator->() const noexcept { return state_; }
  State& operator*() const noexcept { return *state_; }
  explicit operator bool() const noexcept { return state_ != nullptr; }
  State* release() noexcept { return std::exchange(state_, nullptr); }

 private:
  State* state_ = nullptr;
};

}  // namespace tutti
