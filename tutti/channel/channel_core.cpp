#include <tutti/channel/channel_core.hpp>

#include <tutti/base/error.hpp>
#include <tutti/core/last_look.hpp>

#include <algorithm>
#include <stdexcept>

namespace tutti::detail {
namespace {

constexpr std::ptrdiff_t largest = std::ptrdiff_t{1} << 31;

std::size_t checked(bool ordered, std::ptrdiff_t capacity, std::string_view name) {
  const std::ptrdiff_t least = ordered ? 1 : 0;
  if (capacity < least || capacity > largest) {
    throw std::invalid_argument(
        primitive_text("channel", name) + ": capacity " + std::to_string(capacity) + " is not between " +
        (ordered ? "1 (a rendezvous keeps no order but fifo)" : "0 (rendezvous)") + " and " + std::to_string(largest));
  }
  return static_cast<std::size_t>(capacity);
}

}  // namespace

channel_core::channel_core(bool ordered, std::ptrdiff_t capacity, std::string_view name)
    : kind_(ordered         ? kind::store
            : capacity == 0 ? kind::rendezvous
                            : kind::ring),
      capacity_(checked(ordered, capacity, name)),
      name_(name),
      out_(*this, {.resource = this, .kind = "channel", .name = name}),
      in_(*this, {.resource = this, .kind = "channel", .name = name}) {
  if (kind_ == kind::rendezvous) out_.meeting = in_.meeting = &send_.lock;
  if (kind_ != kind::ring) return;
  // About 4 elements go through in a pause: half of the ring, or 4 us.
  const auto most_pauses = static_cast<std::uint32_t>(std::min<std::size_t>(capacity_ / 8, 128));
  out_.may_learn_up_to(most_pauses);
  in_.may_learn_up_to(most_pauses);
}

void channel_core::last_look_at_all() noexcept {
  for (wait_list* const list : {&senders_, &receivers_, &joiners_}) last_look(*list, "channel", name_);
  for (side* const one : {&send_, &receive_}) const std::lock_guard nobody_inside(one->lock);
}

std::size_t channel_core::size() const noexcept {
  const std::uint64_t received = receive_.count.load(std::memory_order_acquire);
  const std::uint64_t sent = send_.count.load(std::memory_order_acquire) / one_sent;
  return static_cast<std::size_t>(std::min<std::uint64_t>(sent - received, capacity_));
}

// ---------------------------------------------------------------- closing

void channel_core::close() noexcept {
  {
    // Without a ring, who sends looks for the bit under the lock, and counts later under it.
    const auto held = kind_ == kind::ring ? std::unique_lock<small_mutex>() : std::unique_lock(send_.lock);
    send_.count.fetch_or(closed_bit, std::memory_order_seq_cst);
  }
  senders_.wake_all();
  receivers_.wake_all();
}

void channel_core::poison() noexcept {
  poisoned_.store(true, std::memory_order_seq_cst);
  drop_what_is_inside();
}

// One of poisoned_ and readers_gone_ has been set. Who sends alone may be about to count an element that was put in
// before: either it has counted when the fence of `settle` is through, and the element is found here, or it sees the
// flag after counting, and drops the element itself.
void channel_core::drop_what_is_inside() noexcept {
  settle(send_, /*for_good=*/true);
  close();
  joiners_.wake_all();
  // What a single reader has not taken it drops itself, when it looks again or ends.
  if (anybody_may_drop()) drop_all();
}

// A heavy fence costs less than a thread's sleep, but a coroutine's wait costs less than a fence: one side that
// coroutines wait for goes back to fences of its own. Whoever finds the change under way cannot rely on it yet.
void channel_core::settle(side& other, bool for_good) noexcept {
  use seen = other.used.load(std::memory_order_acquire);
  if (seen != use::alone && seen != use::settling) return;
  if (for_good) other.used.compare_exchange_strong(seen, use::settling, std::memory_order_acq_rel);
  asymmetric_fence_heavy();
  seen = use::settling;
  if (for_good) other.used.compare_exchange_strong(seen, use::fenced, std::memory_order_acq_rel);
}

bool channel_core::sender_port::looks_ready() const noexcept {
  const std::uint64_t sent = of_.send_.count.load(std::memory_order_seq_cst);
  if ((sent & closed_bit) != 0 || of_.cut_off()) return true;
  return sent / one_sent - of_.receive_.count.load(std::memory_order_seq_cst) != of_.capacity_;
}

std::size_t channel_core::sender_port::backlog() const noexcept { return of_.capacity_ - of_.size(); }
std::size_t channel_core::receiver_port::backlog() const noexcept { return of_.size(); }

bool channel_core::receiver_port::looks_ready() const noexcept {
  const std::uint64_t sent = of_.send_.count.load(std::memory_order_seq_cst);
  return (sent & closed_bit) != 0 || of_.cut_off() ||
         sent / one_sent != of_.receive_.count.load(std::memory_order_seq_cst);
}

void channel_core::sender_port::refuse(attempt why) const {
  const std::string text = primitive_text("channel", of_.name_);
  if (why == attempt::poisoned) throw poisoned(text + ": poisoned, so nothing more can be sent");
  if (of_.readers_gone_) throw closed(text + ": the last reader is gone, so nothing more can be sent");
  throw closed(text + ": closed, so nothing more can be sent");
}

void channel_core::receiver_port::refuse(attempt why) const {
  const std::string text = primitive_text("channel", of_.name_);
  if (why == attempt::poisoned) throw poisoned(text + ": poisoned, and what was in it is dropped");
  throw closed(text + ": closed, and all that was sent has been received; next() gives an empty optional instead");
}

// ---------------------------------------------------------------- what was done

void channel_core::task_done() {
  std::uint64_t done = done_.load(std::memory_order_relaxed);
  do {
    if (done >= sent()) {
      throw std::logic_error(primitive_text("channel", name_) + ": task_done() called " + std::to_string(done + 1) +
                             " times, but only " + std::to_string(sent()) + " elements were sent");
    }
    // seq_cst: who joins has entered the list before it looks at the counts.
  } while (!done_.compare_exchange_weak(done, done + 1, std::memory_order_seq_cst, std::memory_order_relaxed));
  if (done + 1 == sent()) joiners_.wake_all();
}

bool channel_core::join_is_over() const noexcept {
  return done_.load(std::memory_order_seq_cst) == sent() || poisoned_.load(std::memory_order_seq_cst) ||
         readers_gone_.load(std::memory_order_seq_cst);
}

// What was given up will never be done.
void channel_core::check_joined() const {
  const std::uint64_t done = done_.load(std::memory_order_seq_cst), all = sent();
  if (done == all) return;
  if (poisoned_) throw poisoned(primitive_text("channel", name_) + ": poisoned, so join() would wait for ever");
  if (!readers_gone_) return;
  throw closed(primitive_text("channel", name_) + ": the last reader is gone, and only " + std::to_string(done) +
               " of " + std::to_string(all) + " elements were reported done");
}

wait_result channel_core::join(const wait_how& how) {
  const wait_result result = joiners_.wait([this] { return join_is_over(); }, how);
  if (result == wait_result::stopped) {
    throw cancelled(primitive_text("channel", name_) + ": join at " + to_string(how.here) +
                    ": a stop was requested first");
  }
  if (result == wait_result::ready) check_joined();
  return result;
}

bool channel_core::join_awaiter::await_resume() {
  if (!over_ && finish() != wait_result::ready) return false;
  of_.check_joined();
  return true;
}

// ---------------------------------------------------------------- ends

void channel_core::make_ends() noexcept {
  // Members that nobody else uses serve as names of what is waited for: that somebody sends, that somebody receives.
  in_.target = {.resource = &writers_, .rule = wait_rule::one_acts, .kind = "writer of channel", .name = name_};
  out_.target = {.resource = &readers_, .rule = wait_rule::one_acts, .kind = "reader of channel", .name = name_};
  in_.own_side = &out_.target;
  out_.own_side = &in_.target;
  const use by_one = kind_ == kind::ring && has_asymmetric_fence() ? use::alone : use::fenced;
  send_.used.store(by_one, std::memory_order_relaxed);
  receive_.used.store(by_one, std::memory_order_relaxed);
  count_ends(writers_, 1, in_.target);
  count_ends(readers_, 1, out_.target);
}

// Observers rely on the number: told under the lock, so that they learn of each change in its order.
std::size_t channel_core::count_ends(std::size_t& ends, int change, const wait_target& target) noexcept {
  const std::lock_guard lock(ends_lock_);
  ends += static_cast<std::size_t>(change);
  if (wait_observer* const o = wait_graph::observer(); o != nullptr) {
    ends == 0 ? o->gone(target.resource) : o->born(target, ends);
  }
  return ends;
}

void channel_core::share_writer() noexcept {
  send_.used.store(use::shared, std::memory_order_release);
  count_ends(writers_, 1, in_.target);
}

void channel_core::share_reader() noexcept {
  receive_.used.store(use::shared, std::memory_order_release);
  count_ends(readers_, 1, out_.target);
}

void channel_core::drop_writer() noexcept {
  if (count_ends(writers_, -1, in_.target) == 0) close();
}

void channel_core::drop_reader() noexcept {
  if (count_ends(readers_, -1, out_.target) != 0) return;
  // From here on whoever takes does so under the lock, and only to drop: also writers of this very channel that lie in
  // it, which would keep it alive.
  receive_.used.store(use::shared, std::memory_order_release);
  readers_gone_.store(true, std::memory_order_seq_cst);
  drop_what_is_inside();
}

}  // namespace tutti::detail
