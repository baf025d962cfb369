// call: one piece of work with its way home, type-erased: what executors start.
#pragma once
#include <tutti/core/stop.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tutti {

struct function_info;

/// How a call is to be made. Designated initialisers, in this order; trivially destructible (see stop_ref).
struct call_options {
  std::string_view name = {};                            ///< shown by dump, traces and errors; default: the function's
  int priority = 0;                                      ///< higher starts earlier; first in first out within one
  std::optional<std::chrono::nanoseconds> timeout = {};  ///< counted from the start of execution
  int retries = 0;     ///< runs again after worker_lost and exceptions derived from retryable
  stop_ref stop = {};  ///< cancels the call when stop is requested
};

class portable_call;

/// Where portable calls run that have left this process: what it hears of them.
class call_runner {
 public:
  virtual ~call_runner() = default;
  /// The call is asked to stop. From any thread; perhaps when it is over already.
  virtual void stop(portable_call& call) noexcept = 0;
  /// A thread outside pools is about to block until `is_done(context)`: may bring that about, or return at any time.
  virtual void help(bool (*is_done)(const void*), const void* context) noexcept = 0;
};

/// What is asked of whoever runs a call elsewhere.
struct call_limits {
  std::optional<std::chrono::nanoseconds> timeout = {};  ///< from the start of execution
  int retries = 0;                                       ///< after worker_lost and retryable exceptions
};

/// The part of a call that executors outside this process use: what to run, its arguments as bytes, and where the
/// encoded answer goes.
class portable_call {
 public:
  /// The function's identity, see tutti/base/function.hpp.
  virtual const function_info& function() const = 0;
  /// Appends the encoded arguments. Throws what a type's own serialize throws.
  virtual void encode_arguments(std::string& out) const = 0;
  /// The timeout and the retries, which are up to who runs it.
  virtual call_limits limits() const noexcept = 0;
  /// Before it leaves: false when it was cancelled or run meanwhile (then drop the call). From then on cancel() only
  /// asks: `where`, unless null, is told. Who was not told of a stop before this sees it in stop_requested().
  virtual bool begin(std::shared_ptr<call_runner> where) noexcept = 0;
  /// For errors, about a call that is several: which of them is its `at`-th one, and what else is lost with it, as
  /// " for element 7 of its range; elements 5 to 9 are lost with it". "" for others.
  virtual std::string part_text(std::size_t /*at*/) const { return {}; }
  /// Whether the call was asked to stop.
  virtual bool stop_requested() const noexcept = 0;
  /// Completes the call with an encoded result, and ends this handle to it; bytes that cannot be decoded complete it
  /// with decode_error.
  virtual void complete(std::string_view encoded_result) noexcept = 0;
  /// Completes the call with an error, and ends this handle to it.
  virtual void fail(std::exception_ptr error) noexcept = 0;

 protected:
  ~portable_call() = default;
};

/// The body behind a `call`; made by submit, post and map, queued by executors.
class call_node {
 public:
  virtual ~call_node() = default;

  /// Runs the call on this thread unless it was cancelled or run already, and ends this handle to it.
  virtual void run() noexcept = 0;
  /// Completes the call with `error` unless it was started already, and ends this handle to it.
  virtual void abandon(std::exception_ptr error) noexcept = 0;
  /// True when run() would find nothing left to do: cancelled, or run by whoever waited for it.
  virtual bool is_over() const noexcept { return false; }
  /// True when it goes on with something that was begun elsewhere, so that it does not descend from what runs where it
  /// is queued.
  virtual bool is_follow_up() const noexcept { return false; }
  /// The portable side, or null for calls that only run in this process.
  virtual portable_call* portable() noexcept { return nullptr; }

  int priority() const noexcept { return priority_; }
  /// Static or interned; never null.
  const char* name() const noexcept { return name_; }

  /// A hint that it will be run soon by a thread that did not make it.
  void prefetch() const noexcept {
    __builtin_prefetch(this);
    __builtin_prefetch(reinterpret_cast<const char*>(this) + 128);  // a task_state's callable
  }

 private:
  friend class call_queue;
  friend class inbox;
  void note_ahead(const call_node* other) noexcept {
    const std::ptrdiff_t distance =
        (reinterpret_cast<std::intptr_t>(other) - reinterpret_cast<std::intptr_t>(this)) / 16;
    ahead_ = other != nullptr && std::in_range<std::int32_t>(distance) ? static_cast<std::int32_t>(distance) : 0;
  }
  void prefetch_ahead() const noexcept {
    if (ahead_ == 0) return;
    const char* const other = reinterpret_cast<const char*>(this) + std::ptrdiff_t{ahead_} * 16;
    __builtin_prefetch(other);
    __builtin_prefetch(other + 128);
  }
  call_node* next_ = nullptr;  // the queue it is in

 protected:
  const char* name_ = "";
  int priority_ = 0;

 private:
  // How far from here, in units of 16 bytes, the call `lookahead` places behind this one is; 0: not known. A hint for
  // whoever takes this one: a long queue does not fit into the caches, and following its links is one miss after the
  // other. A call that is gone by then costs a prefetch in vain.
  static constexpr std::size_t lookahead = 8;
  std::int32_t ahead_ = 0;
};

/// Sole owner of a queued call. Dropping it completes the call with `closed`: no future is ever left pending.
class [[nodiscard]] call {
 public:
  explicit call(call_node* node) noexcept : node_(node) {}
  call(call&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  call& operator=(call&& other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~call() {
    if (node_ != nullptr) drop();
  }

  /// Runs it here, now.
  void run() && noexcept { release()->run(); }
  /// Completes it with `error` without running it.
  void abandon(std::exception_ptr error) && noexcept { release()->abandon(std::move(error)); }

  call_node* operator->() const noexcept { return node_; }
  /// Hands the node over; the caller must run or abandon it.
  call_node* release() noexcept { return std::exchange(node_, nullptr); }

 private:
  void drop() noexcept;

  call_node* node_;
};

/// A singly linked first-in-first-out queue of calls; not synchronised.
class call_queue {
 public:
  call_queue() = default;
  call_queue(call_queue&& other) noexcept
      : head_(std::exchange(other.head_, nullptr)), tail_(std::exchange(other.tail_, nullptr)) {}
  call_queue& operator=(call_queue&&) = delete;

  bool empty() const noexcept { return head_ == nullptr; }
  void push(call_node* node) noexcept {
    node->next_ = nullptr;
    (head_ == nullptr ? head_ : tail_->next_) = node;
    tail_ = node;
  }
  /// Appends a linked chain.
  void splice(call_node* first, call_node* last) noexcept {
    (head_ == nullptr ? head_ : tail_->next_) = first;
    tail_ = last;
  }
  /// Puts all of `others` before what is here.
  void prepend(call_queue& others) noexcept {
    if (others.empty()) return;
    if (head_ != nullptr) {
      others.tail_->next_ = head_;
      others.tail_ = tail_;
    }
    head_ = std::exchange(others.head_, nullptr);
    tail_ = others.tail_;
  }
  call_node* pop() noexcept {
    call_node* node = head_;
    if (node != nullptr) {
      head_ = node->next_;
      node->prefetch_ahead();
    }
    return node;
  }

 private:
  call_node* head_ = nullptr;
  call_node* tail_ = nullptr;
};

/// `text` as a string that lives for ever; equal texts share one. Thread-safe. For names, which are few.
const char* intern(std::string_view text);

}  // namespace tutti
