#include <tutti/process/process_semaphore.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/blocking_wait.hpp>
#include <tutti/core/last_look.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/process_futex.hpp>
#include <tutti/process/process_key.hpp>
#include <tutti/process/robust_mutex.hpp>
#include <tutti/process/segment_name.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

namespace tutti {
namespace {

constexpr std::size_t most_processes = 1024;
constexpr std::ptrdiff_t most_permits = std::numeric_limits<std::int32_t>::max();
constexpr std::chrono::milliseconds first_look{10};
constexpr auto relaxed = std::memory_order_relaxed;

// A process that holds permits or waits. A free place is one with neither: its process may be another one at any time.
struct user {
  // Beside the number in `permits`: the process is dead and no longer holds them, but nobody was told. One store, so
  // that who is killed while it looks for the dead takes no notice with it.
  static constexpr std::uint32_t untold = std::uint32_t{1} << 31;

  std::atomic<detail::process_key> process{0};
  std::atomic<std::uint32_t> permits{0};
  std::atomic<std::uint32_t> waiting{0};  // its threads that wait

  bool is_free() const noexcept { return permits.load(relaxed) == 0 && waiting.load(relaxed) == 0; }
  bool is_untold() const noexcept { return (permits.load(relaxed) & untold) != 0; }
};

}  // namespace

// In the segment; changed under `mutex`, but for what says otherwise. Relaxed atomics: the lock orders them, and
// whoever is killed leaves each word old or new.
//
// Invariant: what `users` say is true, at every step; `available`, `waiting` and `untold` follow from it. Permits are
// taken and given by one store into one user. So whoever gets the lock from a dead process only has to add up again.
//
// No wake-up is lost while nobody dies: who waits reads `sequence` under the lock, when it has found no permit and
// counts among the waiting; who gives one back changes `sequence` under the lock afterwards, so that the sleeper does
// not fall asleep, or is asleep and is woken. Who dies in between costs the sleepers no more than their next look:
// first_look at first, slow_look at last.
struct process_semaphore::content {
  content(std::ptrdiff_t permits, std::string_view called)
      : total(static_cast<std::uint32_t>(permits)), available(total), name(called, "process_semaphore") {}

  detail::robust_mutex mutex;
  const std::uint32_t total;
  std::atomic<std::uint32_t> available;    // read without the lock, too, as a hint
  std::atomic<std::uint32_t> sequence{0};  // of changes that those who wait should look at
  std::atomic<std::uint32_t> waiting{0};
  std::atomic<std::uint32_t> used{0};    // users from there on have never been used
  std::atomic<std::uint32_t> untold{0};  // of them are dead and gave permits back, and nobody was told
  std::atomic<std::int64_t> looked_for_dead{std::numeric_limits<std::int64_t>::min()};  // when, on the machine's clock
  const detail::segment_name name;
  std::array<user, most_processes> users;

  // Not believed beyond what there is: it is in memory that others can write to.
  std::size_t places() const noexcept { return std::min<std::size_t>(used.load(relaxed), most_processes); }
  std::string text() const { return detail::primitive_text("process_semaphore", name.view()); }
};

const detail::segment_form process_semaphore::form{"process_semaphore", detail::segment_form::semaphore,
                                                   sizeof(content), alignof(content)};
const std::size_t process_semaphore::bytes = sizeof(content);

// The lock, and what is done under it. Whom that concerns is woken when the lock is released.
class process_semaphore::turn {
 public:
  explicit turn(content& of) : of_(of), me_(detail::this_process()) {
    guard_.emplace(of.mutex, "process_semaphore");
    if (!guard_->from_dead()) return;
    add_up();
    changed(everybody);
  }
  ~turn() {
    if (told_) forget_the_dead();
    const int woken = of_.waiting.load(relaxed) == 0 ? 0 : wakes_;
    guard_.reset();
    if (woken != 0) detail::process_futex_wake(of_.sequence, woken);
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;

  // Throws owner_lost when there are permits of the dead of which nobody was told.
  bool try_take() {
    tell();
    const std::uint32_t available = of_.available.load(relaxed);
    if (available == 0) return false;
    user& me = mine_or_throw();
    me.permits.store(me.permits.load(relaxed) + 1, after_process);
    of_.available.store(available - 1, relaxed);
    return true;
  }

  // From then on, who sleeps on the number it gives does not oversleep a change.
  std::uint32_t begin_waiting() {
    user& me = mine_or_throw();
    me.waiting.store(me.waiting.load(relaxed) + 1, after_process);
    of_.waiting.store(of_.waiting.load(relaxed) + 1, relaxed);
    return of_.sequence.load(relaxed);
  }
  void end_waiting() noexcept {
    user* const me = mine();
    const std::uint32_t before = me == nullptr ? 0 : me->waiting.load(relaxed);
    if (before == 0) return;  // somebody took us for dead
    me->waiting.store(before - 1, relaxed);
    of_.waiting.store(of_.waiting.load(relaxed) - 1, relaxed);
  }

  // False, and nothing is given, when this process has fewer.
  bool give(std::uint32_t n) noexcept {
    user* const me = mine();
    const std::uint32_t held = me == nullptr ? 0 : me->permits.load(relaxed);
    if (held < n) return false;
    if (n == 0) return true;  // also where there is no place for us
    me->permits.store(held - n, relaxed);
    set_available(std::uint64_t{of_.available.load(relaxed)} + n);
    changed(static_cast<int>(n));
    return true;
  }
  std::uint32_t held() noexcept {
    user* const me = mine();
    return me == nullptr ? 0 : me->permits.load(relaxed);
  }

  // Throws owner_lost when somebody died with permits, which are given back. Does not look again before first_look has
  // passed, whoever asks: to look is to read a file for each process that takes part.
  void refuse_if_dead() {
    const std::chrono::nanoseconds now = std::chrono::steady_clock::now().time_since_epoch();
    const std::chrono::nanoseconds before{of_.looked_for_dead.load(relaxed)};
    if (now - first_look < before && before <= now) return;  // a time to come is none of ours
    of_.looked_for_dead.store(now.count(), relaxed);
    look_for_dead();
  }

 private:
  static constexpr int everybody = std::numeric_limits<int>::max();
  // release: the count is never there without the process that it belongs to, whenever that is killed.
  static constexpr auto after_process = std::memory_order_release;

  // The place of this process; nullptr when there is none left.
  user* mine() noexcept {
    user* free = nullptr;
    const std::size_t used = of_.places();
    for (user& each : std::span(of_.users).first(used)) {
      if (each.process.load(relaxed) == me_ && !each.is_untold()) return &each;
      if (free == nullptr && each.is_free()) free = &each;
    }
    if (free == nullptr && used < most_processes) {
      free = &of_.users[used];
      of_.used.store(static_cast<std::uint32_t>(used + 1), relaxed);
    }
    if (free != nullptr) free->process.store(me_, relaxed);
    return free;
  }
  user& mine_or_throw() {
    if (user* const found = mine()) return *found;
    look_for_dead();
    if (user* const found = mine()) return *found;
    throw os_error::of(of_.text() + ": " + std::to_string(most_processes) +
                           " processes hold permits or wait, which is all there is room for",
                       ENOSPC);
  }

  void changed(int wakes) noexcept {
    of_.sequence.store(of_.sequence.load(relaxed) + 1, relaxed);
    wakes_ = std::max(wakes_, wakes);
  }

  // Never more than there are, whatever others wrote there.
  void set_available(std::uint64_t permits) noexcept {
    of_.available.store(static_cast<std::uint32_t>(std::min<std::uint64_t>(permits, of_.total)), relaxed);
  }

  // What follows from what `users` say.
  void add_up() noexcept {
    std::uint64_t held = 0;
    std::uint32_t waiting = 0;
    std::uint32_t untold = 0;
    std::size_t used = 0;
    for (std::size_t i = 0; i < most_processes; ++i) {
      const user& each = of_.users[i];
      if (each.is_free()) continue;
      used = i + 1;
      if (each.is_untold()) {
        ++untold;
        continue;
      }
      held += each.permits.load(relaxed);
      waiting += each.waiting.load(relaxed);
    }
    set_available(of_.total - std::min<std::uint64_t>(held, of_.total));
    of_.waiting.store(waiting, relaxed);
    of_.untold.store(untold, relaxed);
    of_.used.store(static_cast<std::uint32_t>(used), relaxed);
  }

  void look_for_dead() {
    bool any = false;
    for (user& each : std::span(of_.users).first(of_.places())) {
      const detail::process_key process = each.process.load(relaxed);
      if (each.is_free() || each.is_untold() || process == me_ || detail::is_running(process)) continue;
      any = true;
      each.waiting.store(0, relaxed);
      if (const std::uint32_t its = each.permits.load(relaxed); its != 0)
        each.permits.store(its | user::untold, relaxed);
    }
    if (!any) return;
    add_up();
    if (of_.untold.load(relaxed) != 0) changed(everybody);
    tell();
  }

  // Throws owner_lost when somebody died with permits, which are there again, and nobody was told.
  void tell() {
    if (of_.untold.load(relaxed) == 0) [[likely]]
      return;
    std::uint64_t permits = 0;
    detail::process_key first = 0;
    int losers = 0;
    for (const user& each : std::span(of_.users).first(of_.places())) {
      if (!each.is_untold()) continue;
      permits += each.permits.load(relaxed) & ~user::untold;
      if (losers++ == 0) first = each.process.load(relaxed);
    }
    const owner_lost lost(of_.text() + ": process " + std::to_string(detail::pid_of(first)) +
                          (losers == 1 ? "" : " and " + std::to_string(losers - 1) + " more") + " ended with " +
                          std::to_string(permits) + (permits == 1 ? " permit" : " permits") +
                          ", and what they stood for may be half done; they are given back. Acquire again to go on");
    told_ = true;  // not before the exception is there: there may be no memory for it, or we may be killed
    throw lost;
  }
  // They were told of.
  void forget_the_dead() noexcept {
    for (user& each : std::span(of_.users).first(of_.places()))
      if (each.is_untold()) each.permits.store(0, relaxed);
    of_.untold.store(0, relaxed);
  }

  content& of_;
  std::optional<detail::robust_guard> guard_;
  const detail::process_key me_;
  int wakes_ = 0;
  bool told_ = false;  // the caller, of what became of the dead
};

process_semaphore::process_semaphore(std::ptrdiff_t permits, std::string_view name) {
  if (permits < 0 || permits > most_permits) {
    throw std::invalid_argument(detail::primitive_text("process_semaphore", name) + ": " + std::to_string(permits) +
                                " permits; it must be from 0 to " + std::to_string(most_permits));
  }
  detail::know_this_process(form.what);
  detail::shared_segment segment(form, 1, bytes);
  ::new (segment.body(form.what)) content(permits, name);
  segment_ = std::move(segment);
}

void process_semaphore::arrived() const {
  if (segment_) detail::know_this_process(form.what);
}

process_semaphore::content& process_semaphore::inside() const {
  return *std::launder(reinterpret_cast<content*>(segment_.body(form.what)));
}

bool process_semaphore::take(const char* what, std::chrono::steady_clock::time_point deadline, place here) const {
  using clock = std::chrono::steady_clock;
  content& c = inside();
  for (spinner spin(spinner::before_sleep);;) {
    if (c.available.load(relaxed) != 0 && turn(c).try_take()) return true;
    if (clock::now() >= deadline) return try_acquire();
    if (!spin.once()) break;
  }
  const wait_target target{&c, wait_rule::unknown, "process_semaphore", c.name.view()};
  const wait_how how{
      .here = here, .what = what, .target = &target, .instead = "a task of a thread_pool that needs the permit"};
  const blocking_wait blocked(&c, how);
  std::chrono::nanoseconds until_next_look = first_look;
  for (bool waited = false;; waited = true) {
    std::uint32_t seen = 0;
    {
      turn mine(c);
      if (waited) mine.end_waiting();
      if (mine.try_take()) return true;
      mine.refuse_if_dead();
      if (clock::now() >= deadline) return false;
      seen = mine.begin_waiting();
    }
    const auto next_look = clock::now() + until_next_look;
    detail::process_futex_wait(c.sequence, seen, std::min(deadline, next_look));
    if (clock::now() >= next_look)
      until_next_look = std::min<std::chrono::nanoseconds>(2 * until_next_look, detail::slow_look);
  }
}

void process_semaphore::acquire(place here) const {
  (void)take("process_semaphore::acquire", std::chrono::steady_clock::time_point::max(), here);
}

bool process_semaphore::try_acquire() const {
  turn mine(inside());
  if (mine.try_take()) return true;
  mine.refuse_if_dead();
  return false;
}

bool process_semaphore::acquire_for(std::chrono::nanoseconds limit, place here) const {
  return take("process_semaphore::acquire_for", detail::machine_time_after(limit), here);
}

void process_semaphore::release(std::ptrdiff_t n) const {
  content& c = inside();
  if (n < 0) throw std::invalid_argument(c.text() + ": release of " + std::to_string(n) + " permits");
  turn mine(c);
  if (n <= most_permits && mine.give(static_cast<std::uint32_t>(n))) return;
  throw not_owner(c.text() + ": release of " + std::to_string(n) + " by process " +
                  std::to_string(detail::pid_of(detail::this_process())) + ", which has " +
                  std::to_string(mine.held()) + "; only the process that took a permit may give it back");
}

process_permit process_semaphore::acquire_permit(place here) const {
  (void)take("process_semaphore::acquire_permit", std::chrono::steady_clock::time_point::max(), here);
  return process_permit(*this);
}

process_permit process_semaphore::try_acquire_permit() const {
  return try_acquire() ? process_permit(*this) : process_permit();
}

process_permit process_semaphore::acquire_permit_for(std::chrono::nanoseconds limit, place here) const {
  return take("process_semaphore::acquire_permit_for", detail::machine_time_after(limit), here) ? process_permit(*this)
                                                                                                : process_permit();
}

process_permit::process_permit(const process_semaphore& of) : of_(of), owner_(detail::this_process()) {}

process_permit::operator bool() const noexcept { return owner_ != 0 && owner_ == detail::this_process(); }

void process_permit::release() noexcept {
  if (*this) of_.release();
  of_ = process_semaphore();
  owner_ = 0;
}

std::ptrdiff_t process_semaphore::value() const { return inside().available.load(relaxed); }

std::string_view process_semaphore::name() const { return inside().name.view(); }

}  // namespace tutti
