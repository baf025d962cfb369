// io_wait: a coroutine that waits for an operation, and how such a wait ends early.
//
// All but the ticket belongs to the loop's thread: the coroutine waits, its operation is begun, its end is told, and it
// is resumed there. A stop or a time limit, from any thread, claims the ticket, and so has the coroutine queued on its
// loop, also while it is still being begun; there `go_on` finds that the operation is still under way, which uses the
// coroutine's memory. It ends the operation, and the coroutine goes on when that end was told.
#pragma once
#include <tutti/core/suspension.hpp>
#include <tutti/core/timers.hpp>
#include <tutti/io/operation.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <string>

namespace tutti::io {

/// A time limit that never comes: the default of all waits.
inline constexpr std::chrono::nanoseconds no_limit = std::chrono::nanoseconds::max();

namespace detail {

class loop_notes;

/// How long a wait may take, and what of it is told when it has: a part of a longer limit tells that.
class wait_limit {
 public:
  wait_limit(std::chrono::nanoseconds left) noexcept  // NOLINT(google-explicit-constructor): most are no parts
      : wait_limit(left, left) {}
  wait_limit(std::chrono::nanoseconds left, std::chrono::nanoseconds told) noexcept : left_(left), told_(told) {}
  operator std::chrono::nanoseconds() const noexcept { return left_; }  // NOLINT(google-explicit-constructor): the same
  std::chrono::nanoseconds told() const noexcept { return told_; }
  friend bool operator==(const wait_limit& a, std::chrono::nanoseconds b) noexcept { return a.left_ == b; }

 private:
  std::chrono::nanoseconds left_, told_;
};

class io_wait : public tutti::detail::own_awaiter, public suspension, public operation {
 public:
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    return wait(awaiter.promise());
  }
  void happened(std::error_code error, std::size_t bytes) noexcept final;
  /// "read_some: reading from 127.0.0.1:80".
  void describe(std::ostream& out) const final;

 protected:
  /// `what`: a literal. `where`: of the loop whose operation it is. `limit`: on tutti's clock, from the wait's
  /// beginning.
  io_wait(const char* what, const loop_notes& where, wait_limit limit) noexcept
      : suspension(what, resumed_by::its_own_thread), where_(where), limit_(limit) {}
  ~io_wait() override = default;

  /// Begins the operation.
  virtual void begin_operation() noexcept = 0;
  /// Ends it early: `happened` is called soon, with errc::operation_canceled unless it was through already.
  virtual void end_operation() noexcept = 0;
  /// An operation has ended, and not early. True: so has the wait; false: another one is to be begun.
  virtual bool is_through(std::error_code error, std::size_t bytes) noexcept = 0;

  /// await_resume, if it has waited. Throws `cancelled` or `timed_out` if that ended the wait and the operation was not
  /// through.
  void finish();
  /// What it would have done, for errors and dump: "reading from 127.0.0.1:80". From any thread.
  [[nodiscard]] virtual std::string subject() const = 0;

 private:
  struct expiry final : timer_entry {
    explicit expiry(wait_ticket& t) noexcept : ticket(t) {}
    void due() noexcept override { ticket.claim(wait_ticket::by_timeout); }
    wait_ticket& ticket;
  };
  bool wait(coroutine_link& link);
  void begin_one() noexcept;
  void go_on() noexcept final;

  const loop_notes& where_;
  const wait_limit limit_;
  std::optional<expiry> expiry_;
  std::exception_ptr refused_;  // the time limit could not be set
  bool waited_ = false, under_way_ = false, through_ = false, ending_ = false;
};

/// A duration that is no_limit or more ends nothing.
std::string in_words(std::chrono::nanoseconds duration);

}  // namespace detail
}  // namespace tutti::io
