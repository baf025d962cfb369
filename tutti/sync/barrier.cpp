#include <tutti/sync/barrier.hpp>

#include <tutti/sync/waking.hpp>

#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace tutti {

namespace {

constexpr const char* timed_out_text = "the time of a participant was up";
constexpr const char* stopped_text = "a participant was stopped while it waited";
constexpr const char* refused_text = "the wait of a participant was refused";
constexpr const char* completion_text = "its completion threw an exception";
constexpr const char* abort_text = "abort() was called";
constexpr const char* reset_text = "reset() was called while this participant waited";
constexpr const char* too_many_text =
    "more participants arrive than are expected in a phase; make it for more, and count those who have dropped out";

}  // namespace

barrier::barrier(std::ptrdiff_t expected, std::function<void()> completion, std::string_view name)
    : missing_(expected),
      expected_(expected),
      completion_(std::move(completion)),
      self_{this, wait_rule::unknown, "barrier", name} {
  if (expected >= 1) return;
  throw std::invalid_argument(detail::primitive_text(self_) + ": " + std::to_string(expected) +
                              " participants expected; it must be at least 1");
}

barrier::~barrier() { detail::last_look(waiters_, self_.kind, self_.name); }

std::ptrdiff_t barrier::expected() const noexcept {
  const std::lock_guard lock(waiters_.mutex());
  return expected_;
}

bool barrier::broken() const noexcept {
  const std::lock_guard lock(waiters_.mutex());
  return broken_ != nullptr;
}

// ---------------------------------------------------------------- arriving

// True when it was the last one: the phase is over.
bool barrier::arrive(participant& me, bool drops) {
  const char* broken = nullptr;
  {
    const std::lock_guard lock(waiters_.mutex());
    broken = broken_;
    if (broken == nullptr && missing_ == 0) broken = too_many_text;
    if (drops && broken != too_many_text && expected_ > 0) --expected_;
    if (broken == nullptr) {
      --missing_;
      // Who drops out and leaves others to come is not told how it ends.
      if (missing_ == 0 || !drops) me.next = std::exchange(arrived_, &me);
      if (missing_ != 0) return false;
    }
  }
  if (broken == too_many_text) throw std::logic_error(detail::primitive_text(self_) + ": " + too_many_text);
  if (broken != nullptr) throw_broken(broken);
  return complete(me);
}

// By the last one.
bool barrier::complete(participant& me) {
  if (completion_) {
    try {
      completion_();
    } catch (...) {
      leave(me, completion_text);
      throw;
    }
  }
  {
    detail::handed_over woken;
    const std::lock_guard lock(waiters_.mutex());
    if (me.ended.load(std::memory_order_relaxed) == outcome::pending) end_phase(woken, outcome::passed, nullptr);
  }
  check_unbroken(me);
  return true;
}

bool barrier::arrive_and_drop() {
  participant me;
  return arrive(me, /*drops=*/true);
}

// Under the list's lock.
void barrier::end_phase(detail::handed_over& woken, outcome how, const char* why) noexcept {
  for (participant* one = std::exchange(arrived_, nullptr); one != nullptr;) {
    participant* const next = one->next;
    one->why = why;
    one->ended.store(how, std::memory_order_release);  // it may be gone
    one = next;
  }
  missing_ = expected_;
  detail::hand_over_to_all(woken, waiters_);
}

void barrier::break_phase(const char* why, bool for_good) noexcept {
  detail::handed_over woken;
  const std::lock_guard lock(waiters_.mutex());
  broken_ = for_good ? (broken_ == nullptr ? why : broken_) : nullptr;
  end_phase(woken, outcome::broken, why);
}

void barrier::reset() noexcept { break_phase(reset_text, false); }
void barrier::abort() noexcept { break_phase(abort_text, true); }

// ---------------------------------------------------------------- waiting

// Does not wait any longer. False if the phase had ended before; otherwise it is broken.
bool barrier::leave(participant& me, const char* why) noexcept {
  detail::handed_over woken;
  const std::lock_guard lock(waiters_.mutex());
  if (me.ended.load(std::memory_order_relaxed) != outcome::pending) return false;
  broken_ = why;
  end_phase(woken, outcome::broken, why);
  return true;
}

void barrier::check_unbroken(const participant& me) const {
  if (me.ended.load(std::memory_order_acquire) == outcome::broken) throw_broken(me.why);
}

void barrier::throw_broken(const char* why) const {
  const std::string text = detail::primitive_text(self_);
  if (why == reset_text) throw broken_barrier(text + ": " + why);
  throw broken_barrier(text + " is broken: " + why + "; reset() makes it whole");
}

wait_result barrier::wait(participant& me, wait_how how) {
  how.target = &self_;
  wait_result result = wait_result::ready;
  try {
    result = waiters_.wait([&me] { return me.ended.load(std::memory_order_acquire) != outcome::pending; }, how);
  } catch (...) {
    if (leave(me, refused_text)) throw;
    result = wait_result::ready;
  }
  if (result != wait_result::ready && !leave(me, result == wait_result::stopped ? stopped_text : timed_out_text)) {
    result = wait_result::ready;  // the phase has ended in the last moment
  }
  if (result == wait_result::ready) check_unbroken(me);
  return result;
}

bool barrier::arrive_and_wait(place here) {
  participant me;
  if (arrive(me)) return true;
  wait(me, {.here = here, .what = "barrier::arrive_and_wait", .instead = "arrive_and_wait_async()"});
  return false;
}

std::optional<bool> barrier::arrive_and_wait_for(std::chrono::nanoseconds limit, place here) {
  const detail::time_limit until(limit);
  participant me;
  if (arrive(me)) return true;
  const wait_how how{.deadline = until.deadline(),
                     .here = here,
                     .what = "barrier::arrive_and_wait_for",
                     .instead = "arrive_and_wait_for_async()"};
  if (wait(me, how) == wait_result::timed_out) return std::nullopt;
  return false;
}

bool barrier::arrive_and_wait(const std::stop_token& stop, place here) {
  participant me;
  if (arrive(me)) return true;
  const wait_how how{
      .stop = stop, .here = here, .what = "barrier::arrive_and_wait", .instead = "arrive_and_wait_async()"};
  detail::throw_if_stopped(wait(me, how), self_, "arrive_and_wait", here);
  return false;
}

std::optional<bool> barrier::arrival_wait::take_part() {
  if (last_) return true;
  try {
    if (finish() == wait_result::timed_out && barrier_.leave(me_, timed_out_text)) return std::nullopt;
  } catch (const cancelled&) {
    if (barrier_.leave(me_, stopped_text)) throw;
  } catch (...) {
    if (barrier_.leave(me_, refused_text)) throw;
  }
  barrier_.check_unbroken(me_);
  return false;
}

barrier::awaiter barrier::arrive_and_wait_async(place here) {
  return awaiter(*this, "barrier::arrive_and_wait_async", here);
}

barrier::timed_awaiter barrier::arrive_and_wait_for_async(std::chrono::nanoseconds limit, place here) {
  return timed_awaiter(*this, "barrier::arrive_and_wait_for_async", here, detail::unless_endless(limit));
}

}  // namespace tutti
