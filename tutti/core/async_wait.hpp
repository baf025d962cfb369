// async_wait: a coroutine that waits in a wait_list, with the rules that threads have in wait_list::wait.
//
// Whoever wakes it does not resume it: it is queued on its executor, and looks there whether what it waits for is still
// to be had. If not, it waits on without having run: so no primitive needs to know whether a thread or a coroutine
// waits.
#pragma once
#include <tutti/core/suspension.hpp>
#include <tutti/core/timers.hpp>

#include <chrono>
#include <optional>

namespace tutti {

/// A wait of a coroutine that may have to be begun anew. Derived awaiters say how to arm and disarm it, and have an
/// await_suspend that calls `wait`.
class async_wait : public detail::own_awaiter, public suspension {
 protected:
  /// `what`: a literal. `limit`: none if empty; on tutti's clock from now on.
  async_wait(const char* what, const place& here, std::optional<std::chrono::nanoseconds> limit)
      : suspension(what), here_(here) {
    if (limit) expiry_.emplace(ticket(), *limit);
  }
  ~async_wait() override = default;

  /// await_suspend: true if it waits.
  bool wait(coroutine_link& link);
  /// await_resume: ready or timed_out. Throws `cancelled` when the task was asked to stop first, what an observer of
  /// waits throws, and what setting a timer throws.
  wait_result finish();

  /// Makes the ticket known to who may claim it, then looks once more: true if it has what it waits for, and is not
  /// known any more.
  virtual bool arm() noexcept = 0;
  /// Nobody knows the ticket any more.
  virtual void disarm() noexcept = 0;
  /// It was woken with `outcome`, and disarmed: true if it has what it waits for; otherwise it is armed again.
  virtual bool woken(std::uint32_t outcome) noexcept = 0;
  /// For observers of waits.
  virtual std::span<const wait_target> targets() const noexcept { return {}; }

 private:
  struct expiry final : timer_entry {
    expiry(wait_ticket& t, std::chrono::nanoseconds limit) : ticket(t), at(detail::time_after(limit)) {}
    void due() noexcept override { ticket.claim(wait_ticket::by_timeout); }
    wait_ticket& ticket;
    const std::chrono::steady_clock::time_point at;
    bool is_set = false;
  };

  void go_on() noexcept final;
  bool waits() noexcept;
  bool over() noexcept;

  const place here_;
  std::optional<expiry> expiry_;
  wait_graph::watched_wait watched_;
  wait_result result_ = wait_result::ready;
  std::exception_ptr refused_;
};

/// The same in one list. `ready` is asked as in wait_list::wait.
class list_wait : public async_wait {
 public:
  bool await_ready() noexcept { return ready(); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiter) {
    return wait(awaiter.promise());
  }

 protected:
  /// `context`: for the primitive, in the waiter's entry. `target` must live as long as the wait.
  list_wait(wait_list& list, const char* what, const place& here, std::optional<std::chrono::nanoseconds> limit = {},
            const wait_target* target = nullptr, void* context = nullptr)
      : async_wait(what, here, limit), list_(list), target_(target) {
    entry_.context = context;
  }

  virtual bool ready() noexcept = 0;
  waiter& entry() noexcept { return entry_; }

 private:
  bool arm() noexcept final;
  void disarm() noexcept final { list_.remove(entry_); }
  bool woken(std::uint32_t outcome) noexcept final;
  std::span<const wait_target> targets() const noexcept final { return {target_, target_ == nullptr ? 0U : 1U}; }

  wait_list& list_;
  const wait_target* const target_;
  waiter entry_{&ticket()};
};

}  // namespace tutti
