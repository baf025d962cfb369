// cases: waiting for the first of several ports; a receive or a send on its own is the set of one.
//
// A waiter has one ticket and an entry in the list of every port. Whoever claims the ticket has decided the wait:
//
//   delivered | i   a rendezvous: the other side has moved the element to or from cases[i].value, under `meeting` and
//                   the list's lock. The waiter takes that lock once, to leave the list, before it goes on: by then
//                   the move is finished.
//   i               a hint: something has changed at cases[i], look again. A hint that is not used for that port is
//                   handed on to the next in its list; otherwise an element could lie there with nobody awake.
//   by_self         the waiter has seen, once it was in all lists, that a port looks ready; it leaves and tries. Nobody
//                   can deliver any more, so never are two cases taken.
//
// No wake-up is lost: a waiter enters a list, then looks (port::settle, looks_ready); the other side changes its state,
// then looks into the list; a fence stands between the two on each side. Each change wakes one waiter, and each woken
// waiter looks at all its ports before it sleeps again.
//
// Rendezvous ports have no state to look at. Their waiter holds the `meeting` locks of all of them, in order of
// address, while it looks for a partner in each and, finding none, enters all: so two waiters cannot miss each other,
// and nobody is met while it meets somebody else.
#pragma once
#include <tutti/base/clock.hpp>
#include <tutti/channel/port.hpp>
#include <tutti/core/async_wait.hpp>

#include <span>
#include <vector>

namespace tutti::detail {

/// One of the things waited for.
struct channel_case {
  port* at = nullptr;      ///< null: left out
  void* value = nullptr;   ///< where the element is, or goes to
  bool wants_end = false;  ///< that the port is closed counts as ready
  attempt last = attempt::not_now;
  bool entered = false;  // its list, and has not left it itself
  waiter entry = {nullptr};
};

/// How looking at cases, or waiting for them, ended.
struct case_result {
  enum class kind : std::uint8_t {
    nothing,   ///< none is ready, or the time is up
    done,      ///< cases[index] was
    ended,     ///< cases[index] is closed, and wants to know
    closed,    ///< all are closed
    poisoned,  ///< cases[index] is
  } what = kind::nothing;
  std::size_t index = 0;
  explicit operator bool() const noexcept { return what != kind::nothing; }
};

/// In which order cases that are ready are taken.
enum class choice : std::uint8_t { fair, in_order };

/// The cases of one wait. Refers to arrays of its owner.
class case_set {
 public:
  using kind = case_result::kind;

  /// `locks` and `order`: room, as large as `cases`.
  case_set(std::span<channel_case> cases, std::span<small_mutex*> locks, std::span<std::uint32_t> order,
           choice how) noexcept
      : cases_(cases), locks_(locks), order_(order), how_(how) {}

  /// Looks at each case once.
  case_result try_all() noexcept;
  /// The same, when a ticket was claimed with `outcome` by one of the lists, and the lists were left.
  case_result after(std::uint32_t outcome) noexcept;

  /// Whether it is worth calling try_all.
  bool looks_ready() const noexcept;
  /// Whether a partner can be met, who must find us in a list.
  bool meets() const noexcept;
  /// For how many pauses to look away first, and what to learn when some case is ready after it: see port.
  std::uint32_t patience() const noexcept;
  void learn() const noexcept;

  enum class entered : std::uint8_t {
    waits,  ///< in all lists, or claimed on the way
    met,    ///< a partner: `result` tells which, and no list was entered
    again,  ///< some case looks ready: no list is entered any more
  };
  /// `often`: whoever waits does so at every turn, as coroutines, which do not spin before.
  entered enter(wait_ticket& ticket, bool often, case_result& result) noexcept;
  /// Leaves all lists that it is in.
  void leave() noexcept;

  /// Who can end the wait, for observers.
  void add_targets(std::vector<wait_target>& to) const;

 private:
  case_result look_at(std::size_t index) noexcept;
  case_result judge(std::size_t index, attempt result) noexcept;
  case_result if_all_closed() const noexcept;
  case_result meet_partner() noexcept;
  void mix() noexcept;

  const std::span<channel_case> cases_;
  const std::span<small_mutex*> locks_;
  const std::span<std::uint32_t> order_;
  const choice how_;
};

/// Blocks the thread until a case is ready; `nothing` when the limit of `how` has passed. Throws `cancelled` on a stop,
/// and what wait_list::wait throws.
case_result wait_for(case_set& set, const wait_how& how);

/// The same for one port, at which the caller has just looked.
case_result wait_for_one(port& at, void* value, const wait_how& how);

/// A coroutine's wait for the first of several cases. Derived awaiters own the arrays.
class case_wait : public async_wait {
 public:
  using kind = case_result::kind;

  bool await_ready() noexcept {
    result_ = set_.try_all();
    return static_cast<bool>(result_);
  }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    waited_ = true;
    return wait(awaiter.promise());
  }

 protected:
  case_wait(const case_set& set, const char* what, const place& here, std::optional<std::chrono::nanoseconds> limit)
      : async_wait(what, here, limit), set_(set) {}
  ~case_wait() override = default;

  /// How it ended; `nothing` when the time is up. Throws `cancelled` when its task was asked to stop first.
  case_result end_of_wait() {
    if (!waited_) return result_;
    return finish() == wait_result::ready ? result_ : case_result{};
  }

 private:
  bool arm() noexcept final;
  void disarm() noexcept final { set_.leave(); }
  bool woken(std::uint32_t outcome) noexcept final;
  std::span<const wait_target> targets() const noexcept final;

  case_set set_;
  case_result result_;
  bool waited_ = false;
  mutable std::vector<wait_target> targets_;
};

/// What a coroutine awaits that uses one port. Looks first, and becomes a wait only when it must: most find what they
/// want, and a wait is large.
class port_awaiter : public own_awaiter {
 public:
  bool await_ready() noexcept {
    first_ = at_.try_now(value_);
    return first_ != attempt::not_now;
  }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    return wait_.emplace(*this).await_suspend(awaiter);
  }

 protected:
  /// `what`: a literal. `limit`: from now on; none if empty.
  port_awaiter(port& at, void* value, const char* what, const place& here,
               std::optional<std::chrono::nanoseconds> limit)
      : at_(at), value_(value), what_(what), here_(here) {
    if (limit) deadline_ = time_after(*limit);
  }
  ~port_awaiter() = default;
  port_awaiter(const port_awaiter&) = delete;
  port_awaiter& operator=(const port_awaiter&) = delete;
  /// Where the element is to go, if that was not there yet in the constructor.
  void put_at(void* value) noexcept { value_ = value; }
  const port& at() const noexcept { return at_; }
  /// As case_wait::end_of_wait.
  case_result::kind end() {
    switch (first_) {
      case attempt::done: return case_result::kind::done;
      case attempt::closed: return case_result::kind::closed;
      case attempt::poisoned: return case_result::kind::poisoned;
      case attempt::not_now: break;
    }
    return wait_->end().what;
  }

 private:
  class wait final : public case_wait {
   public:
    explicit wait(const port_awaiter& of)
        : case_wait(case_set({&one_, 1}, {&lock_, 1}, {&order_, 1}, choice::in_order), of.what_, of.here_,
                    of.time_left()),
          one_{&of.at_, of.value_} {}
    case_result end() { return end_of_wait(); }

   private:
    channel_case one_;
    small_mutex* lock_ = nullptr;
    std::uint32_t order_ = 0;
  };

  std::optional<std::chrono::nanoseconds> time_left() const noexcept {
    if (deadline_ == std::chrono::steady_clock::time_point::max()) return std::nullopt;
    return deadline_ - now();
  }

  port& at_;
  void* value_;
  const char* const what_;
  const place here_;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
  attempt first_ = attempt::not_now;
  std::optional<wait> wait_;
};

/// Repeats the random choices of select on this thread from now on: for tests.
void seed_select(std::uint64_t seed) noexcept;

}  // namespace tutti::detail
