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
#include <compare>
#include <exception>
#include <optional>
#include <string>

namespace tutti::io {

/// A time limit that never comes: the default of all waits.
inline constexpr std::chrono::nanoseconds no_limit = std::chrono::nanoseconds::max();

/// How long a wait may take: any duration; one beyond what nanoseconds can say, 292 years, is no_limit. Trivially
/// destructible.
class time_limit {
 public:
  template <class Rep, class Period>
  constexpr time_limit(const std::chrono::duration<Rep, Period>& limit) noexcept  // NOLINT(google-explicit-constructor)
      : left_(tutti::detail::saturated(limit)), told_(left_) {}
  constexpr operator std::chrono::nanoseconds() const noexcept {  // NOLINT(google-explicit-constructor): it is one
    return left_;
  }
  friend bool operator==(const time_limit& a, std::chrono::nanoseconds b) noexcept { return a.left_ == b; }
  friend std::strong_ordering operator<=>(const time_limit& a, std::chrono::nanoseconds b) noexcept {
    return a.left_ <=> b;
  }

  /// For this module. What is left of a limit, and all of it: that is what is told when it is over.
  constexpr time_limit(std::chrono::nanoseconds left, std::chrono::nanoseconds told) noexcept
      : left_(left), told_(told) {}
  constexpr std::chrono::nanoseconds left() const noexcept { return left_; }
  constexpr std::chrono::nanoseconds told() const noexcept { return told_; }
  /// The one that is over first.
  friend constexpr time_limit sooner(const time_limit& a, const time_limit& b) noexcept {
    return b.left_ < a.left_ ? b : a;
  }

 private:
  std::chrono::nanoseconds left_, told_;
};

namespace detail {

class loop_notes;
using wait_limit = time_limit;

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
