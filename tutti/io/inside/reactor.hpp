// reactor: the Asio side of a loop.
#pragma once
#include <tutti/base/unique_fd.hpp>
#include <tutti/core/call.hpp>
#include <tutti/io/loop.hpp>
#include <tutti/io/operation.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace tutti::io::detail {

namespace asio = boost::asio;

/// Only the thread that drives the loop touches it, but for interrupt(): so Asio needs no locks.
class reactor final : public tutti::detail::loop_poller,
                      public loop_notes,
                      public std::enable_shared_from_this<reactor> {
 public:
  using executor_type = asio::io_context::executor_type;
  using descriptor = asio::posix::basic_stream_descriptor<executor_type>;

  /// Whose poller it is; gone when the loop is.
  std::weak_ptr<tutti::detail::loop_engine> engine;

  reactor();
  void wait_for_events() noexcept override { context_.run_one(); }
  // Not all there are: handlers may begin operations that are through at once, one after the other. And not many: what
  // goes on right after its event finds its memory in the cache.
  void look_for_events() noexcept override {
    for (int i = 0; i < most_at_a_look && context_.poll_one() != 0; ++i) {
    }
  }
  void interrupt() noexcept override;
  bool expects_nothing() const noexcept override { return under_way == 0; }
  [[nodiscard]] asio::io_context& context() noexcept { return context_; }
  [[nodiscard]] executor_type executor() noexcept { return context_.get_executor(); }

  /// That of the loop on which this code runs. Throws std::logic_error on other threads; `what`: who asks.
  static reactor& here(const char* what);
  /// The same, null on other threads.
  static reactor* here_if_any() noexcept;
  /// That of a stream: its `where()`.
  static reactor& of(const loop_notes& notes) noexcept {
    return const_cast<reactor&>(static_cast<const reactor&>(notes));
  }

  /// For a call that the loop takes no more: runs it when the loop is over, and what follows from it, on this thread
  /// then. Thread-safe.
  void run_when_over(call work) noexcept;
  /// The loop is over. Operations that nobody waits for and that have been ended are still to be told so: they keep
  /// what they refer to, and that keeps this.
  void end() noexcept override;

  /// All of this process, while it exists: none is destroyed meanwhile. For watchdogs.
  class list {
   public:
    list();
    ~list();
    list(const list&) = delete;
    list& operator=(const list&) = delete;
    [[nodiscard]] const std::vector<reactor*>& all() const noexcept;
  };
  ~reactor();
  /// A number that no other one of this process ever had.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

 private:
  void hear_interrupts();
  void run_what_is_left() noexcept;

  static constexpr int most_at_a_look = 16;
  static constexpr int most_at_the_end = 1 << 20;  // for a peer who sends on and on to who outlives the loop

  const std::uint64_t number_;
  asio::io_context context_;
  asio::executor_work_guard<executor_type> goes_on_;
  descriptor interrupts_;  // an eventfd

  // When the loop is over, threads touch this one at a time. Recursive: what runs may dispose of more.
  std::recursive_mutex after_;
  bool over_ = false;
  call_queue left_;
};

/// Asio's allocator over an operation's memory.
template <class T>
class operation_allocator {
 public:
  using value_type = T;
  explicit operation_allocator(operation& who) noexcept : who_(&who) {}
  template <class U>
  operation_allocator(const operation_allocator<U>& other) noexcept  // NOLINT(google-explicit-constructor): a rebind
      : who_(other.who_) {}
  T* allocate(std::size_t n) { return static_cast<T*>(who_->take_memory(n * sizeof(T))); }
  void deallocate(T* memory, std::size_t) noexcept { who_->give_back_memory(memory); }
  friend bool operator==(const operation_allocator& a, const operation_allocator& b) noexcept = default;

 private:
  template <class U>
  friend class operation_allocator;
  operation* who_;
};

/// A completion handler whose memory is the operation's: calls `body(who, error, bytes)`.
template <class Body>
class operation_handler {
 public:
  using allocator_type = operation_allocator<void>;
  operation_handler(operation& who, Body body) noexcept : who_(&who), body_(body) {}
  allocator_type get_allocator() const noexcept { return allocator_type(*who_); }
  void operator()(const boost::system::error_code& error = {}, std::size_t bytes = 0) { body_(*who_, error, bytes); }

 private:
  operation* who_;
  Body body_;
};

}  // namespace tutti::io::detail
