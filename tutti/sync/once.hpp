// once: a function that is called by whoever comes first, while the others wait for it.
#pragma once
#include <tutti/core/async_wait.hpp>
#include <tutti/sync/lock_words.hpp>
#include <tutti/task/coroutine.hpp>

#include <functional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tutti {

/// One of all the calls made through it runs its function to the end; the others wait for that, threads and coroutines
/// alike, and what it did is visible to them. A function that throws was not called: the exception is its caller's, and
/// one of those who wait, or the next caller, calls its own. Thread-safe; afterwards a call costs one load. Destroying
/// it while somebody is inside is a fatal error that names it.
class once {
 public:
  /// `name`: shown in errors, dumps and deadlock reports; must outlive it.
  constexpr explicit once(std::string_view name = {}) noexcept : name_(name) {}
  ~once();
  once(const once&) = delete;
  once& operator=(const once&) = delete;

  /// Calls `f()` unless some call was completed; blocks while another one is being made. Throws what `f` throws;
  /// deadlock when called from inside `f`; would_block when it would wait on the thread of a loop; pool_exhausted when
  /// a pool's worker would wait and cannot be replaced.
  template <std::invocable F>
  void call(F&& f, place here = place::current()) {
    if (done() || !begin(here)) return;
    attempt trying(*this);
    std::invoke(std::forward<F>(f));
    trying.succeeded = true;
  }
  /// co_await it: the same for an `f` that returns a task<>, which is awaited. Copies or moves `f`. Throws cancelled
  /// too, when the task is asked to stop while it waits for another one's call.
  template <class F>
    requires std::invocable<F&> && std::is_same_v<std::invoke_result_t<F&>, task<>>
  [[nodiscard]] task<> call_async(F f, place here = place::current()) {
    if (done()) co_return;
    begin_wait turn(*this, here);
    if (!co_await turn) co_return;
    attempt trying(*this);
    co_await std::invoke(f);
    trying.succeeded = true;
  }

  /// True once a call was completed; what it did is visible then. Never blocks.
  bool done() const noexcept { return state_.load(std::memory_order_acquire) == completed; }

 private:
  using word = detail::lock_word;
  static constexpr word idle = 0, completed = 1;  // else: who calls

  // The call is made by this task or thread, and over, one way or the other, when this is destroyed.
  struct attempt {
    explicit attempt(once& o) noexcept : of(o) {}
    ~attempt() { of.end(succeeded); }
    attempt(const attempt&) = delete;
    attempt& operator=(const attempt&) = delete;
    once& of;
    bool succeeded = false;
  };
  // True: it is ours to call.
  class begin_wait final : public list_wait {
   public:
    begin_wait(once& of, const place& here);
    bool await_ready();
    bool await_resume();

   private:
    bool ready() noexcept override { return of_.completed_or_mine(me_); }
    once& of_;
    const place here_;
    word me_ = 0;
    const wait_target target_;
  };

  wait_target target() const noexcept { return {this, wait_rule::all_release, "once", name_}; }
  bool begin(const place& here);
  void end(bool succeeded) noexcept;
  bool completed_or_mine(word me) noexcept;
  void refuse_recursion(const char* what, const place& here) const;

  std::atomic<word> state_{idle};
  wait_list waiters_;
  std::string_view name_;
};

}  // namespace tutti
