// semaphore: a number of permits to be taken and given back, by anybody; permit: a guard that gives them back.
#pragma once
#include <tutti/core/async_wait.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stop_token>
#include <string_view>
#include <utility>

namespace tutti {

class permit;
namespace detail {
class handed_over;
}  // namespace detail

/// How a semaphore is made.
struct semaphore_options {
  std::ptrdiff_t maximum = std::numeric_limits<std::ptrdiff_t>::max() / 4;  ///< of permits that are there at once
};

/// So many permits. Taking some waits until they are there; whoever takes them sees what those did who gave them back.
/// A newcomer may be quicker than those who wait, who otherwise come in the order of their arrival; the first of them
/// is handed its permits once others went before it twice, and until then newcomers get none: also one that needs many
/// gets them.
///
/// Every form throws std::invalid_argument when n is negative or more than the maximum. Thread-safe. Must outlive its
/// waiters: destroying it with one waiting is a fatal error that names it. Who gives back need not be outlived: whoever
/// has what it waited for may destroy it.
class semaphore {
  class permits_wait;

 public:
  class awaiter;
  class timed_awaiter;
  class permit_awaiter;
  class timed_permit_awaiter;

  /// `initial`: permits at first. `name`: shown in errors and reports; must outlive the semaphore. Throws
  /// std::invalid_argument when initial is negative or more than the maximum, or that is less than 1 or absurd.
  explicit semaphore(std::ptrdiff_t initial, std::string_view name = {}) : semaphore(initial, {}, name) {}
  semaphore(std::ptrdiff_t initial, semaphore_options options, std::string_view name = {});
  ~semaphore();
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  /// Blocks the thread until it has n permits. Throws would_block when it would wait on the thread of a loop,
  /// pool_exhausted when a pool's worker would wait and cannot be replaced.
  void acquire(std::ptrdiff_t n = 1, place here = place::current());
  /// Takes n permits if they are there and not kept for one who waits. Never blocks.
  [[nodiscard]] bool try_acquire(std::ptrdiff_t n = 1, place here = place::current());
  /// Blocks for at most `limit` on tutti's clock; false when the time is up. Zero and less only try; max waits without
  /// limit.
  [[nodiscard]] bool acquire_for(std::chrono::nanoseconds limit, std::ptrdiff_t n = 1, place here = place::current());
  /// Blocks until `stop` is requested; throws `cancelled` then.
  void acquire(const std::stop_token& stop, std::ptrdiff_t n = 1, place here = place::current());
  /// Suspends the coroutine until it has n permits. Throws `cancelled` when its task is asked to stop meanwhile.
  [[nodiscard]] awaiter acquire_async(std::ptrdiff_t n = 1, place here = place::current());
  /// The same for at most `limit`; gives false when the time is up.
  [[nodiscard]] timed_awaiter acquire_for_async(std::chrono::nanoseconds limit, std::ptrdiff_t n = 1,
                                                place here = place::current());

  /// Gives n permits, taken or new, and wakes as many waiters as they are enough for. Never blocks. Throws
  /// std::logic_error when that were more than the maximum; then none was given.
  void release(std::ptrdiff_t n = 1);

  /// The same six forms for permits that go back by themselves. In those that may fail, the permit is empty then.
  [[nodiscard]] permit acquire_permit(std::ptrdiff_t n = 1, place here = place::current());
  [[nodiscard]] permit try_acquire_permit(std::ptrdiff_t n = 1, place here = place::current());
  [[nodiscard]] permit acquire_permit_for(std::chrono::nanoseconds limit, std::ptrdiff_t n = 1,
                                          place here = place::current());
  [[nodiscard]] permit acquire_permit(const std::stop_token& stop, std::ptrdiff_t n = 1, place here = place::current());
  [[nodiscard]] permit_awaiter acquire_permit_async(std::ptrdiff_t n = 1, place here = place::current());
  [[nodiscard]] timed_permit_awaiter acquire_permit_for_async(std::chrono::nanoseconds limit, std::ptrdiff_t n = 1,
                                                              place here = place::current());

 private:
  friend permit;
  struct request;
  // Who is said to hold the permits: nobody known, or the caller, who gets a guard.
  enum class holder : bool { unknown, caller };

  void check(const char* form, std::ptrdiff_t n) const;
  void check_room(std::uint64_t seen, std::ptrdiff_t n) const;
  bool take(std::ptrdiff_t n, bool newcomer, std::uint64_t note) noexcept;
  bool take_again(request& by) noexcept;
  wait_result take_or_wait(std::ptrdiff_t n, holder by, wait_how how);
  void after_wait(wait_result result) noexcept;
  void taken(std::ptrdiff_t n, holder by, const place& here, bool waited) noexcept;
  void give(std::ptrdiff_t n);
  void serve(detail::handed_over& woken, bool given) noexcept;
  void serve_waiters() noexcept;

  // One word decides: how many permits are there, times `one`, and
  //   waiting   somebody may be in the list: whoever gives permits has to look there
  //   kept      they are kept for the first in the list: newcomers get none
  //
  // No waiter is missed. It sets `waiting` under the list's lock, its entry linked, in the step that finds too few
  // permits; so whoever gives some later finds `waiting` set, takes that lock, and serves the list from its front.
  // `waiting` and `kept` are cleared only there. Whoever leaves the list without permits, or finds `kept` set when it
  // leaves with some, has it served as well: what it was woken for, or what was kept for it, is the next one's.
  //
  // Giving without waiters is one step, after which the semaphore is not touched; with waiters it happens in the lock,
  // which the destructor takes.
  //
  // acquire / release: who takes permits sees what those did who gave them. Each change is a read-modify-write, so
  // takers in between do not break that.
  static constexpr std::uint64_t waiting = 1, kept = 2, one = 4;
  static constexpr std::uint16_t losses_until_kept = 2;

  std::atomic<std::uint64_t> word_;
  wait_list waiters_;
  const std::ptrdiff_t maximum_;
  const wait_target self_;
};

/// So many permits of a semaphore, given back when it is destroyed, from whatever thread or task; or none. Move-only.
/// Must not outlive the semaphore. One object is used by one thread at a time.
class [[nodiscard]] permit {
 public:
  /// Holds none.
  permit() = default;
  permit(permit&& other) noexcept { take_over(other); }
  permit& operator=(permit&& other) noexcept {
    if (this == &other) return *this;
    release();
    take_over(other);
    return *this;
  }
  ~permit() { release(); }

  /// True if it holds some.
  explicit operator bool() const noexcept { return of_ != nullptr; }
  /// How many it holds.
  [[nodiscard]] std::ptrdiff_t count() const noexcept { return of_ == nullptr ? 0 : n_; }
  /// Gives them back now; nothing if it holds none. Never blocks. Terminates the program when others have given so many
  /// that these would be more than the maximum.
  void release() noexcept;

 private:
  friend semaphore;
  permit(semaphore& of, std::ptrdiff_t n) noexcept : of_(&of), n_(n), holder_(wait_graph::self_id()) {}
  void take_over(permit& other) noexcept;

  semaphore* of_ = nullptr;
  std::ptrdiff_t n_ = 0;
  const void* holder_ = nullptr;  // as observers of waits know it; null: somebody
};

// What a waiter's entry points to.
struct semaphore::request {
  std::ptrdiff_t n;
  bool known = false;  // it was served before, if in vain: `kept` is not meant for it. Under the list's lock
};

class semaphore::permits_wait : public list_wait {
 public:
  bool await_ready() noexcept { return of_.take(request_.n, true, 0); }

 protected:
  permits_wait(semaphore& of, std::ptrdiff_t n, holder by, const char* what, const place& here,
               std::optional<std::chrono::nanoseconds> limit = {})
      : list_wait(of.waiters_, what, here, limit, &of.self_, &request_), of_(of), request_{n}, by_(by), here_(here) {}
  ~permits_wait() override = default;

  /// True if it has them.
  bool take_part();
  permit make_permit() { return take_part() ? permit(of_, request_.n) : permit(); }

 private:
  bool ready() noexcept final {
    waited_ = true;
    return of_.take_again(request_);
  }

  semaphore& of_;
  request request_;
  const holder by_;
  bool waited_ = false;
  const place here_;
};

/// What acquire_async gives: await it, once.
class semaphore::awaiter final : public permits_wait {
 public:
  void await_resume() { take_part(); }

 private:
  friend semaphore;
  using permits_wait::permits_wait;
};

/// What acquire_for_async gives: await it, once; true if it has the permits.
class semaphore::timed_awaiter final : public permits_wait {
 public:
  [[nodiscard]] bool await_resume() { return take_part(); }

 private:
  friend semaphore;
  using permits_wait::permits_wait;
};

/// What acquire_permit_async gives: await it, once.
class semaphore::permit_awaiter final : public permits_wait {
 public:
  permit await_resume() { return make_permit(); }

 private:
  friend semaphore;
  using permits_wait::permits_wait;
};

/// What acquire_permit_for_async gives: await it, once; an empty permit when the time is up.
class semaphore::timed_permit_awaiter final : public permits_wait {
 public:
  permit await_resume() { return make_permit(); }

 private:
  friend semaphore;
  using permits_wait::permits_wait;
};

}  // namespace tutti
