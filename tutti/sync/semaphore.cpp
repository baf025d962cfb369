#include <tutti/sync/semaphore.hpp>

#include <tutti/sync/waking.hpp>

#include <mutex>
#include <stdexcept>
#include <string>

namespace tutti {

namespace {

constexpr std::ptrdiff_t most = semaphore_options().maximum;

}  // namespace

semaphore::semaphore(std::ptrdiff_t initial, semaphore_options options, std::string_view name)
    : word_(static_cast<std::uint64_t>(initial) * one),
      maximum_(options.maximum),
      // Where more may be given than there were, whoever gives them holds nothing.
      self_{this, initial == options.maximum ? wait_rule::one_acts : wait_rule::unknown, "semaphore", name} {
  if (maximum_ < 1 || maximum_ > most) {
    throw std::invalid_argument(detail::primitive_text(self_) + ": a maximum of " + std::to_string(maximum_) +
                                " permits; it must be from 1 to " + std::to_string(most));
  }
  if (initial < 0 || initial > maximum_) {
    throw std::invalid_argument(detail::primitive_text(self_) + ": " + std::to_string(initial) +
                                " permits at first; it must be from 0 to " + std::to_string(maximum_));
  }
  if (wait_observer* const o = wait_graph::observer(); o != nullptr && initial == maximum_) [[unlikely]]
    o->born(self_, static_cast<std::size_t>(initial));
}

semaphore::~semaphore() {
  detail::last_look(waiters_, self_.kind, self_.name);
  if (wait_observer* const o = wait_graph::observer(); o != nullptr) [[unlikely]]
    o->gone(this);
}

void semaphore::check(const char* form, std::ptrdiff_t n) const {
  if (n >= 0 && n <= maximum_) [[likely]]
    return;
  throw std::invalid_argument(detail::primitive_text(self_) + ": " + form + " of " + std::to_string(n) +
                              " permits; it must be from 0 to its maximum, " + std::to_string(maximum_));
}

// ---------------------------------------------------------------- taking

// Takes them, or leaves `note` in the word in the step that finds that it cannot.
bool semaphore::take(std::ptrdiff_t n, bool newcomer, std::uint64_t note) noexcept {
  const auto wanted = static_cast<std::uint64_t>(n);
  std::uint64_t seen = word_.load(std::memory_order_relaxed);
  for (;;) {
    const bool can = n == 0 || (seen / one >= wanted && !(newcomer && (seen & kept) != 0));
    const std::uint64_t next = can ? seen - wanted * one : seen | note;
    if (next == seen) return can;
    if (word_.compare_exchange_weak(seen, next, std::memory_order_acquire, std::memory_order_relaxed)) return can;
  }
}

// Under the list's lock, or out of the list.
bool semaphore::take_again(request& by) noexcept { return take(by.n, !by.known, waiting); }

wait_result semaphore::take_or_wait(std::ptrdiff_t n, holder by, wait_how how) {
  check(how.what, n);
  const auto try_once = [&] { return take(n, true, 0); };
  if (try_once()) {
    taken(n, by, how.here, false);
    return wait_result::ready;
  }
  std::optional<wait_result> result = wait_list::spin(try_once, how);
  if (!result) {
    request mine{n};
    how.target = &self_;
    try {
      result = waiters_.sleep([&] { return take_again(mine); }, how, &mine);
    } catch (...) {
      after_wait(wait_result::stopped);
      throw;
    }
    after_wait(*result);
  }
  if (*result == wait_result::ready) taken(n, by, how.here, true);
  return *result;
}

void semaphore::after_wait(wait_result result) noexcept {
  if (result != wait_result::ready || (word_.load(std::memory_order_relaxed) & kept) != 0) serve_waiters();
}

bool semaphore::permits_wait::take_part() {
  wait_result result = wait_result::stopped;
  try {
    result = finish();
  } catch (...) {
    of_.after_wait(result);
    throw;
  }
  if (waited_) of_.after_wait(result);
  if (result == wait_result::ready) of_.taken(request_.n, by_, here_, waited_);
  return result == wait_result::ready;
}

void semaphore::taken(std::ptrdiff_t n, holder by, const place& here, bool waited) noexcept {
  wait_observer* const o = wait_graph::observer();
  if (o == nullptr || self_.rule == wait_rule::unknown) [[likely]]
    return;
  const wait_party who = by == holder::caller ? wait_graph::self() : wait_party{};
  for (; n > 0; --n) o->holds(who, self_, here, waited);
}

// ---------------------------------------------------------------- giving

void semaphore::check_room(std::uint64_t seen, std::ptrdiff_t n) const {
  const auto there = static_cast<std::ptrdiff_t>(seen / one);
  if (n <= maximum_ - there) [[likely]]
    return;
  throw std::logic_error(detail::primitive_text(self_) + ": release of " + std::to_string(n) + " permits with " +
                         std::to_string(there) + " there is more than its maximum, " + std::to_string(maximum_));
}

void semaphore::release(std::ptrdiff_t n) {
  check("release", n);
  if (wait_observer* const o = wait_graph::observer(); o != nullptr) [[unlikely]]
    o->gone(this);  // anybody may give: nobody knows any more who ends a wait
  give(n);
}

void semaphore::give(std::ptrdiff_t n) {
  const std::uint64_t more = static_cast<std::uint64_t>(n) * one;
  std::uint64_t seen = word_.load(std::memory_order_relaxed);
  do {
    check_room(seen, n);
    if ((seen & waiting) != 0) {
      detail::handed_over woken;
      const std::lock_guard lock(waiters_.mutex());
      do {
        check_room(seen, n);
        // acquire: what others gave before is handed over here as well.
      } while (!word_.compare_exchange_weak(seen, seen + more, std::memory_order_acq_rel, std::memory_order_relaxed));
      serve(woken, true);
      return;
    }
  } while (!word_.compare_exchange_weak(seen, seen + more, std::memory_order_release, std::memory_order_relaxed));
}

// Under the list's lock. Those whose turn it is are woken, and take their permits if nobody is quicker; who lost twice,
// or saw others pass, is handed them. Nobody overtakes the first in the list: if it needs more, the others wait.
// `given`: there are more permits than before.
void semaphore::serve(detail::handed_over& woken, bool given) noexcept {
  std::uint64_t seen = word_.load(std::memory_order_acquire);
  std::uint64_t left = seen / one;
  while (waiter* const first = waiters_.first()) {
    request& wanted = *static_cast<request*>(first->context);
    const auto n = static_cast<std::uint64_t>(wanted.n);
    wanted.known = true;
    if (first->losses >= losses_until_kept || (seen & kept) != 0) {
      // Taken from what is there, in its name; it is no newcomer.
      if (!take(wanted.n, false, kept)) return;
      if (woken.add(waiters_, *first)) {
        word_.fetch_and(~kept, std::memory_order_relaxed);
      } else {
        word_.fetch_add(n * one, std::memory_order_release);  // it has given up; they are the next one's
      }
      seen = word_.load(std::memory_order_acquire);
      left = seen / one;
    } else if (left >= n) {
      if (woken.add(waiters_, *first, 0)) left -= n;
    } else {
      if (given) ++first->losses;  // somebody gave, and it was not enough
      return;
    }
    given = false;
  }
  word_.fetch_and(~(waiting | kept), std::memory_order_relaxed);
}

void semaphore::serve_waiters() noexcept {
  detail::handed_over woken;
  const std::lock_guard lock(waiters_.mutex());
  serve(woken, false);
}

// Nobody is told where a guard is moved to: the holder is not known any more. First the new one is reported, so that
// somebody holds them all the time.
void permit::take_over(permit& other) noexcept {
  of_ = std::exchange(other.of_, nullptr);
  n_ = other.n_;
  holder_ = other.holder_;
  if (of_ == nullptr || holder_ == nullptr) return;
  if (wait_observer* const o = wait_graph::observer(); o != nullptr) [[unlikely]] {
    for (std::ptrdiff_t i = 0; i < n_; ++i) {
      o->holds({}, of_->self_, {}, false);
      o->releases(holder_, of_);
    }
  }
  holder_ = nullptr;
}

void permit::release() noexcept {
  semaphore* const of = std::exchange(of_, nullptr);
  if (of == nullptr) return;
  if (wait_observer* const o = wait_graph::observer(); o != nullptr) [[unlikely]] {
    for (std::ptrdiff_t i = 0; i < n_; ++i) o->releases(holder_, of);
  }
  of->give(n_);
}

// ---------------------------------------------------------------- forms

void semaphore::acquire(std::ptrdiff_t n, place here) {
  take_or_wait(n, holder::unknown, {.here = here, .what = "semaphore::acquire", .instead = "acquire_async()"});
}

bool semaphore::try_acquire(std::ptrdiff_t n, place here) {
  check("semaphore::try_acquire", n);
  const bool got = take(n, true, 0);
  if (got) taken(n, holder::unknown, here, false);
  return got;
}

bool semaphore::acquire_for(std::chrono::nanoseconds limit, std::ptrdiff_t n, place here) {
  const detail::time_limit until(limit);
  const wait_how how{
      .deadline = until.deadline(), .here = here, .what = "semaphore::acquire_for", .instead = "acquire_for_async()"};
  return take_or_wait(n, holder::unknown, how) == wait_result::ready;
}

void semaphore::acquire(const std::stop_token& stop, std::ptrdiff_t n, place here) {
  const wait_how how{.stop = stop, .here = here, .what = "semaphore::acquire", .instead = "acquire_async()"};
  detail::throw_if_stopped(take_or_wait(n, holder::unknown, how), self_, "acquire", here);
}

semaphore::awaiter semaphore::acquire_async(std::ptrdiff_t n, place here) {
  check("semaphore::acquire_async", n);
  return awaiter(*this, n, holder::unknown, "semaphore::acquire_async", here);
}

semaphore::timed_awaiter semaphore::acquire_for_async(std::chrono::nanoseconds limit, std::ptrdiff_t n, place here) {
  check("semaphore::acquire_for_async", n);
  return timed_awaiter(*this, n, holder::unknown, "semaphore::acquire_for_async", here, detail::unless_endless(limit));
}

permit semaphore::acquire_permit(std::ptrdiff_t n, place here) {
  const wait_how how{.here = here, .what = "semaphore::acquire_permit", .instead = "acquire_permit_async()"};
  take_or_wait(n, holder::caller, how);
  return permit(*this, n);
}

permit semaphore::try_acquire_permit(std::ptrdiff_t n, place here) {
  check("semaphore::try_acquire_permit", n);
  if (!take(n, true, 0)) return {};
  taken(n, holder::caller, here, false);
  return permit(*this, n);
}

permit semaphore::acquire_permit_for(std::chrono::nanoseconds limit, std::ptrdiff_t n, place here) {
  const detail::time_limit until(limit);
  const wait_how how{.deadline = until.deadline(),
                     .here = here,
                     .what = "semaphore::acquire_permit_for",
                     .instead = "acquire_permit_for_async()"};
  return take_or_wait(n, holder::caller, how) == wait_result::ready ? permit(*this, n) : permit();
}

permit semaphore::acquire_permit(const std::stop_token& stop, std::ptrdiff_t n, place here) {
  const wait_how how{
      .stop = stop, .here = here, .what = "semaphore::acquire_permit", .instead = "acquire_permit_async()"};
  detail::throw_if_stopped(take_or_wait(n, holder::caller, how), self_, "acquire_permit", here);
  return permit(*this, n);
}

semaphore::permit_awaiter semaphore::acquire_permit_async(std::ptrdiff_t n, place here) {
  check("semaphore::acquire_permit_async", n);
  return permit_awaiter(*this, n, holder::caller, "semaphore::acquire_permit_async", here);
}

semaphore::timed_permit_awaiter semaphore::acquire_permit_for_async(std::chrono::nanoseconds limit, std::ptrdiff_t n,
                                                                    place here) {
  check("semaphore::acquire_permit_for_async", n);
  return timed_permit_awaiter(*this, n, holder::caller, "semaphore::acquire_permit_for_async", here,
                              detail::unless_endless(limit));
}

}  // namespace tutti
