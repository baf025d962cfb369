// suspension: one wait of a coroutine task: begun, ended once by a result, a time limit or a stop, and then resumed.
//
// Every awaiter of the library that really waits derives from it:
//
//   await_suspend:  begin(link); arm what may end the wait (each by ticket().claim(outcome)); return commit();
//   await_resume:   switch (end()) ...; disarm what did not end it
//
// What ends the wait may come while it is still being armed, from any thread. Two events make the coroutine go on:
// that it is armed (`commit`), and that the ticket was claimed. Whoever is second resumes it: `commit` by returning
// false, the claimer by posting it to its executor. Before that nobody can, so the awaiter lives at least as long as
// both need it.
#pragma once
#include <tutti/core/coroutine_run.hpp>
#include <tutti/core/wait_list.hpp>

#include <atomic>

namespace tutti {

namespace detail {
// Marks awaiters that know what to do with a coroutine of ours.
struct own_awaiter {};

// While one lives, calls are kept until the outermost one of this thread ends: coroutines are resumed on this thread
// for want of another, but never on top of code that may hold them.
class resume_in_place_later {
 public:
  resume_in_place_later() noexcept;
  ~resume_in_place_later();
  resume_in_place_later(const resume_in_place_later&) = delete;
  resume_in_place_later& operator=(const resume_in_place_later&) = delete;
  /// False when there is none.
  static bool keep(call_node& node) noexcept;

 private:
  bool outermost_;
  call_queue kept_;
};
}  // namespace detail

/// Brings a coroutine back: queued on the executor it goes on on.
class resume_node : public call_node {
 public:
  /// From the call on the coroutine may be running elsewhere, and this object be gone.
  void post() noexcept;
  bool is_follow_up() const noexcept final { return true; }
  const coroutine_link& link() const noexcept { return *link_; }

 protected:
  resume_node() = default;
  ~resume_node() override = default;
  /// On the executor that it goes on on: lets it go on.
  virtual void go_on() noexcept { coroutine_run::resume(*link_); }
  coroutine_link* link_ = nullptr;  // innermost; before post()

 private:
  void run() noexcept final;
  void abandon(std::exception_ptr) noexcept final;
};

class suspension : public resume_node {
 public:
  suspension(const suspension&) = delete;
  suspension& operator=(const suspension&) = delete;

  /// Writes what it waits for: "in sleep_for", and more where that helps.
  virtual void describe(std::ostream& out) const;
  /// For how long, to a few milliseconds.
  std::chrono::nanoseconds age() const noexcept;

 protected:
  /// Who can resume it: any thread, perhaps while it is still being armed; or only the one that arms it, which has
  /// other things to do first: that of a loop.
  enum class resumed_by : std::uint8_t { any_thread, its_own_thread };
  /// `what`: a literal, "sleep_for".
  explicit suspension(const char* what, resumed_by who = resumed_by::any_thread) noexcept
      : ticket_(who == resumed_by::any_thread ? &claimed : &claimed_at_home, this), what_(what) {}
  ~suspension() override = default;

  /// The coroutine is about to wait.
  void begin(coroutine_link& who) noexcept {
    link_ = &who;
    who.run->hold_home();
  }
  wait_ticket& ticket() noexcept { return ticket_; }
  const char* what() const noexcept { return what_; }
  /// All is armed. True: it waits, and this object may be gone; false: it goes on at once.
  bool commit() noexcept;
  /// Instead of commit, for one that is resumed by its own thread: it waits in any case, and may be claimed, and
  /// queued, already.
  void show() noexcept;
  /// Instead of going on, in go_on(), it waits once more: to be armed and committed again.
  void begin_again() noexcept {
    gate_.store(0, std::memory_order_relaxed);  // published by what makes the ticket known again
    ticket_.reopen();
  }
  /// The wait is over: how it ended. Returns when no other thread looks at this object because of the task; whatever
  /// else was armed is the caller's to disarm.
  std::uint32_t end() noexcept;
  /// The same; throws `cancelled` if a stop has ended it.
  void end_or_throw();
  [[noreturn]] void throw_cancelled() const;

  /// The task is asked to stop while it waits, or was when it began to. Ends the wait; those who wait for others that
  /// they own ask them to stop instead, and wait on. May be called more than once, by several threads.
  virtual void on_stop() noexcept { ticket_.claim(wait_ticket::by_stop); }

 private:
  friend class coroutine_run;
  static void claimed(void* self) noexcept;
  static void claimed_at_home(void* self) noexcept { static_cast<suspension*>(self)->post(); }

  wait_ticket ticket_;
  const char* what_;
  // Coarse steady clock, ns. One that waits again writes it while others look: any of the two will do, so relaxed.
  std::atomic<std::int64_t> since_{0};
  std::atomic<int> gate_{0};
  bool published_ = false;
};

}  // namespace tutti
