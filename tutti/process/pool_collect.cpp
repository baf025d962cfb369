// Who reads the answers of a process_pool's workers: a visitor, or the resident.
#include <tutti/base/error.hpp>
#include <tutti/base/exception_codec.hpp>
#include <tutti/base/log.hpp>
#include <tutti/core/sleep_hook.hpp>
#include <tutti/core/spin.hpp>
#include <tutti/process/pool_core.hpp>
#include <tutti/process/pool_section.hpp>
#include <tutti/process/process_futex.hpp>

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <new>
#include <utility>

namespace tutti::detail {
namespace {

constexpr auto for_ever = std::chrono::steady_clock::time_point::max();

}  // namespace

// ---------------------------------------------------------------- whose turn it is

// Who reads answers, on its stack. What it completes runs foreign code, which may sleep, perhaps for another answer:
// before that the turn is given up, to the resident or to one that takes the resident's place. Whoever has given it up
// touches nothing of the collector's any more, and says so to its caller.
class pool_core::collecting {
 public:
  enum class as : std::uint8_t { visitor, resident };
  collecting(pool_core& pool, std::unique_lock<std::mutex>& turn, as role) noexcept
      : pool_(pool), turn_(turn), role_(role), outer_(std::exchange(innermost, this)) {
    before_callbacks_sleep = give_up_all;
  }
  ~collecting() {
    innermost = outer_;
    if (outer_ == nullptr) before_callbacks_sleep = nullptr;
  }
  collecting(const collecting&) = delete;
  collecting& operator=(const collecting&) = delete;

  /// False also in a child that a callback has forked: the answers are its parent's.
  [[nodiscard]] bool goes_on() const noexcept { return turn_.owns_lock() && pool_.is_of_this_process(); }
  static bool is_here(const pool_core& pool) noexcept {
    for (const collecting* one = innermost; one != nullptr; one = one->outer_) {
      if (&one->pool_ == &pool) return true;
    }
    return false;
  }
  /// Those of all pools whose answers this thread is reading.
  static void give_up_all() noexcept {
    for (collecting* one = innermost; one != nullptr; one = one->outer_) one->give_up();
  }

 private:
  void give_up() noexcept {
    if (!goes_on()) return;
    if (role_ == as::resident) {
      if (!pool_.replace_resident()) return;
      pool_.is_resident_.store(false, std::memory_order_relaxed);
    } else {
      pool_.bell_.visitor.store(bell::away, std::memory_order_seq_cst);
    }
    turn_.unlock();
    std::atomic_thread_fence(std::memory_order_seq_cst);  // see reside()
    ring_loudly(pool_.bell_);                             // what was published meanwhile, for who reads now
  }

  pool_core& pool_;
  std::unique_lock<std::mutex>& turn_;
  const as role_;
  collecting* const outer_;
  static constinit thread_local collecting* innermost;
};
constinit thread_local pool_core::collecting* pool_core::collecting::innermost = nullptr;

bool pool_core::is_collecting_here() const noexcept { return collecting::is_here(*this); }

// False: there is no thread to be had. Then its callback keeps the answers waiting.
bool pool_core::replace_resident() noexcept {
  try {
    const std::lock_guard lock(residents_mutex_);
    residents_.emplace_back([self = shared_from_this()] { self->reside(); });
    return true;
  } catch (const std::exception&) {
    log(log_level::error, "process_pool: no thread to read answers while a callback sleeps: all of them wait for it");
    return false;
  }
}

// This thread was the resident, and another one is now.
void pool_core::retire_resident() noexcept {
  const std::lock_guard lock(residents_mutex_);
  const auto self = std::find_if(residents_.begin(), residents_.end(),
                                 [](const std::thread& one) { return one.get_id() == std::this_thread::get_id(); });
  if (self == residents_.end()) return;  // shutdown() waits for it
  self->detach();
  residents_.erase(self);
}

// ---------------------------------------------------------------- what there is to read

bool pool_core::anything_to_collect() const noexcept {
  if (seen_version_ != version_.load(std::memory_order_seq_cst)) return true;
  for (const lane_ref& one : *seen_) {
    if (!one->responses.is_empty() && !one->is_mad) return true;
    if (one->over.load(std::memory_order_seq_cst) && !one->is_buried) return true;
    if (one->is_overdue.load(std::memory_order_seq_cst)) return true;
    if (one->waits_for_room.load(std::memory_order_seq_cst) &&
        one->words.requests_full.load(std::memory_order_seq_cst) == 0)
      return true;
  }
  return false;
}

// True: there was something. When the turn was given up meanwhile, there may be more.
bool pool_core::collect(const collecting& here) {
  bool any = false;
  try {
    if (seen_version_ != version_.load(std::memory_order_seq_cst)) {
      const std::lock_guard lock(mutex_);
      seen_ = std::make_shared<const std::vector<lane_ref>>(lanes_);
      seen_version_ = version_.load(std::memory_order_relaxed);
    }
    const auto lanes = seen_;  // it may change when the turn is given up
    for (const lane_ref& one : *lanes) {
      if (one->is_buried) continue;
      const bool over = one->over.load(std::memory_order_seq_cst);  // before what it has left is read
      any |= collect_from(here, one);
      if (here.goes_on() && over) {
        bury(one);
        any = true;
      } else if (here.goes_on() && one->waits_for_room.load(std::memory_order_relaxed) &&
                 one->words.requests_full.load(std::memory_order_seq_cst) == 0) {
        section in(*this);
        one->waits_for_room.store(false, std::memory_order_relaxed);
        settle(in);
        any = true;
      }
      if (!here.goes_on()) return true;
    }
  } catch (const std::exception& wrong) {  // no memory: the next look tries again
    log(log_level::error, wrong.what());
  }
  return any;
}

bool pool_core::collect_from(const collecting& here, const lane_ref& from) {
  // So that one worker that never stops does not keep the others waiting.
  constexpr int most_at_once = 1024;
  bool any = false;
  if (from->is_overdue.load(std::memory_order_seq_cst)) {
    say_overdue(*from);
    any = true;
  }
  try {
    for (int n = 0; n < most_at_once && here.goes_on() && !from->is_mad; ++n) {
      record* const next = from->responses.front();
      if (next == nullptr) break;
      any = true;
      response_head head;
      if (from->responses.front_size() < sizeof head) throw decode_error("a response without a head");
      std::memcpy(&head, next->data(), sizeof head);
      const std::string_view bytes(reinterpret_cast<const char*>(next->data()) + sizeof head,
                                   from->responses.front_size() - sizeof head);
      read(from, head, bytes);
    }
  } catch (const std::bad_alloc&) {
    throw;                                 // ours, and not its fault: the record is still there
  } catch (const std::exception& wrong) {  // it writes nonsense
    from->is_mad = true;
    const section in(*this);
    from->process->signal(SIGKILL);
    try {
      from->failure = std::make_exception_ptr(
          worker_lost("worker " + std::to_string(from->number) + " of process_pool \"" + settings_.name +
                      "\" was killed, as it could not be understood: " + wrong.what()));
    } catch (const std::bad_alloc&) {  // then its death says enough
    }
  }
  return any;
}

// ---------------------------------------------------------------- who does it

// Collects, or sleeps until there is something to collect; until `is_done(context)`, or the turn was given up.
void pool_core::collect_until(const collecting& here, bool (*is_done)(const void*), const void* context) {
  for (;;) {
    collect(here);
    before_sleeping();  // in a callback: what was completed here has callbacks behind it, which are for others
    if (!here.goes_on() || is_done(context)) return;
    bool found = false;
    for (spinner spin(spinner::before_sleep); !found && spin.once();) found = anything_to_collect() || is_done(context);
    if (found) continue;
    bell_.visitor_hint.sleeps();
    bell_.visitor.store(bell::asleep, std::memory_order_seq_cst);
    if (!anything_to_collect() && !is_done(context)) {
      // A worker that was to ring may have been stopped, or killed, before it did.
      process_futex_wait(bell_.visitor, bell::asleep, std::chrono::steady_clock::now() + slow_look);
      bell_.visitor_hint.woken();
    }
    bell_.visitor.store(bell::awake, std::memory_order_seq_cst);
  }
}

void pool_core::help(bool (*is_done)(const void*), const void* context) noexcept {
  if (!is_of_this_process()) return;
  before_sleeping();  // callbacks that are to be called, and turns of this thread's
  struct presence {
    std::atomic<int>& count;
    explicit presence(std::atomic<int>& c) : count(c) { count.fetch_add(1, std::memory_order_seq_cst); }
    ~presence() { count.fetch_sub(1, std::memory_order_relaxed); }
  };
  const presence present(visitors_);
  std::unique_lock visit(collecting_, std::try_to_lock);
  // The resident goes when it has nothing to do; another visitor stays.
  for (spinner spin(spinner::before_sleep); !visit && is_resident_.load(std::memory_order_relaxed) && spin.once();)
    static_cast<void>(visit.try_lock());
  if (!visit) return;
  bell_.visitor.store(bell::awake, std::memory_order_seq_cst);
  const collecting here(*this, visit, collecting::as::visitor);
  collect_until(here, is_done, context);
  if (!here.goes_on()) return;
  bell_.visitor.store(bell::away, std::memory_order_seq_cst);
  collect(here);  // what was published while this looked awake
  if (!here.goes_on()) return;
  visit.unlock();
  std::atomic_thread_fence(std::memory_order_seq_cst);  // see reside()
  // A resident that found this one here sleeps without having looked; see reside().
  if (was_sent_off_.exchange(false, std::memory_order_seq_cst)) ring_loudly(bell_);
}

void pool_core::reside() {
  ::pthread_setname_np(::pthread_self(), "tutti-pool");
  ::sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);  // handlers are the program's business
  while (!leaving_.load(std::memory_order_seq_cst)) {
    std::unique_lock turn(collecting_, std::try_to_lock);
    bool any = false;
    if (!turn) {
      // A visitor does it all. It looks at these words when it has unlocked; so it sees them, or this gets the lock:
      // the fences on both sides stand for what a mutex does not promise.
      bell_.resident.store(bell::asleep, std::memory_order_seq_cst);
      was_sent_off_.store(true, std::memory_order_seq_cst);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      static_cast<void>(turn.try_lock());
    }
    if (turn) {
      is_resident_.store(true, std::memory_order_relaxed);
      bell_.resident.store(bell::awake, std::memory_order_seq_cst);
      {
        const collecting here(*this, turn, collecting::as::resident);
        any = collect(here);
        if (!is_of_this_process()) return;
        if (!here.goes_on()) return retire_resident();
      }
      const auto alone = [this] { return visitors_.load(std::memory_order_relaxed) == 0; };
      for (spinner spin(std::chrono::microseconds(10)); !any && alone() && spin.once();) any = anything_to_collect();
      if (!any) {
        bell_.resident_hint.sleeps();
        bell_.resident.store(bell::asleep, std::memory_order_seq_cst);
        any = anything_to_collect();
      }
      is_resident_.store(false, std::memory_order_relaxed);
      turn.unlock();
    }
    if (!any && !leaving_.load(std::memory_order_seq_cst)) {
      process_futex_wait(bell_.resident, bell::asleep, for_ever);
      bell_.resident_hint.woken();
    }
    bell_.resident.store(bell::awake, std::memory_order_seq_cst);
  }
}

}  // namespace tutti::detail
