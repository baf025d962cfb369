#include <tutti/channel/cases.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/base/error.hpp>
#include <tutti/core/blocking_wait.hpp>
#include <tutti/core/spin.hpp>

#include <algorithm>
#include <functional>
#include <numeric>

namespace tutti::detail {
namespace {

constexpr std::uint32_t by_self = 0x7fffffffU;  // an outcome that no case has

// xorshift64* (Vigna, 2016): plenty for whom to ask first.
constinit thread_local std::uint64_t random_state = 0;
std::uint32_t random_below(std::uint32_t n) noexcept {
  if (random_state == 0) {
    static std::atomic<std::uint64_t> threads{0};
    random_state = (threads.fetch_add(1, std::memory_order_relaxed) + 1) * 0x9e3779b97f4a7c15U;
  }
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return static_cast<std::uint32_t>(((random_state * 0x2545f4914f6cdd1dU >> 32) * n) >> 32);
}

// Locks that are held together, each once, in order of address.
class all_locked {
 public:
  explicit all_locked(std::span<small_mutex*> locks) noexcept {
    std::ranges::sort(locks, std::less<>());
    locks_ = locks.first(locks.size() - std::ranges::unique(locks).size());
    for (small_mutex* const one : locks_) one->lock();
  }
  ~all_locked() {
    for (small_mutex* const one : locks_) one->unlock();
  }
  all_locked(const all_locked&) = delete;
  all_locked& operator=(const all_locked&) = delete;

 private:
  std::span<small_mutex*> locks_;
};

bool waits_for(const channel_case& one) noexcept { return one.at != nullptr && one.last == attempt::not_now; }

}  // namespace

void seed_select(std::uint64_t seed) noexcept { random_state = seed == 0 ? 1 : seed; }

// ---------------------------------------------------------------- looking

case_result case_set::try_all() noexcept {
  mix();
  for (const std::uint32_t index : order_) {
    if (!waits_for(cases_[index])) continue;
    if (const case_result result = look_at(index)) return result;
  }
  return if_all_closed();
}

case_result case_set::look_at(std::size_t index) noexcept {
  return judge(index, cases_[index].at->try_now(cases_[index].value));
}

case_result case_set::judge(std::size_t index, attempt result) noexcept {
  channel_case& one = cases_[index];
  one.last = result;
  switch (result) {
    case attempt::done: return {kind::done, index};
    case attempt::poisoned: return {kind::poisoned, index};
    case attempt::closed: return one.wants_end ? case_result{kind::ended, index} : case_result{};
    case attempt::not_now: break;
  }
  return {};
}

case_result case_set::if_all_closed() const noexcept {
  std::size_t last = cases_.size();
  for (std::size_t i = 0; i < cases_.size(); ++i) {
    if (waits_for(cases_[i])) return {};
    if (cases_[i].at != nullptr) last = i;
  }
  return last == cases_.size() ? case_result{} : case_result{kind::closed, last};
}

case_result case_set::after(std::uint32_t outcome) noexcept {
  if ((outcome & delivered) != 0) return judge(outcome & ~delivered, attempt::done);
  channel_case& hinted = cases_[outcome];
  ++hinted.entry.losses;
  if (how_ == choice::fair) {
    if (const case_result result = look_at(outcome)) return result;
    return try_all();
  }
  const case_result result = try_all();
  if (result && result.index != outcome) hinted.at->waiters.wake_one();
  return result;
}

bool case_set::looks_ready() const noexcept {
  return std::ranges::any_of(cases_, [](const channel_case& one) { return waits_for(one) && one.at->looks_ready(); });
}

bool case_set::meets() const noexcept {
  return std::ranges::any_of(cases_,
                             [](const channel_case& one) { return waits_for(one) && one.at->meeting != nullptr; });
}

std::uint32_t case_set::patience() const noexcept {
  const bool any = std::ranges::any_of(cases_, waits_for);
  std::uint32_t least = any ? ~std::uint32_t{0} : 0;
  for (const channel_case& one : cases_) {
    if (waits_for(one)) least = std::min(least, one.at->patience());
  }
  return least;
}

void case_set::learn() const noexcept {
  for (const channel_case& one : cases_) {
    if (waits_for(one) && one.at->looks_ready()) one.at->learn();
  }
}

// A random order, so that each of those that are ready has the same chance.
void case_set::mix() noexcept {
  std::iota(order_.begin(), order_.end(), 0U);
  if (how_ != choice::fair) return;
  for (std::uint32_t left = static_cast<std::uint32_t>(order_.size()); left > 1; --left) {
    std::swap(order_[left - 1], order_[random_below(left)]);
  }
}

// ---------------------------------------------------------------- entering the lists

case_set::entered case_set::enter(wait_ticket& ticket, bool often, case_result& result) noexcept {
  for (std::size_t i = 0; i < cases_.size(); ++i) {
    cases_[i].entry.ticket = &ticket;
    cases_[i].entry.outcome = static_cast<std::uint32_t>(i);
    cases_[i].entry.context = cases_[i].value;
  }
  if (meets()) {
    result = meet_partner();
    if (result) return entered::met;
  }
  for (channel_case& one : cases_) {
    if (!waits_for(one) || one.at->meeting != nullptr) continue;
    const auto ready = [&] {
      one.at->settle(often);
      return one.at->looks_ready();
    };
    if (!one.at->waiters.add_unless(one.entry, ready)) {
      if (!ticket.try_claim(by_self)) return entered::waits;
      leave();
      return entered::again;
    }
    one.entered = true;
  }
  return entered::waits;
}

case_result case_set::meet_partner() noexcept {
  std::size_t used = 0;
  for (const channel_case& one : cases_) {
    if (waits_for(one) && one.at->meeting != nullptr) locks_[used++] = one.at->meeting;
  }
  wake_up other;  // called when the locks have been released
  case_result result;
  {
    const all_locked held(locks_.first(used));
    for (const std::uint32_t index : order_) {
      channel_case& one = cases_[index];
      if (!waits_for(one) || one.at->meeting == nullptr) continue;
      result = judge(index, one.at->meet(one.value, other));
      if (result) break;
    }
    if (!result) result = if_all_closed();
    if (!result) {
      for (channel_case& one : cases_) {
        if (!waits_for(one) || one.at->meeting == nullptr) continue;
        one.at->waiters.add_unless(one.entry, [] { return false; });
        one.entered = true;
      }
    }
  }
  other();
  return result;
}

void case_set::leave() noexcept {
  for (channel_case& one : cases_) {
    if (!one.entered) continue;
    one.at->waiters.remove(one.entry);
    one.entered = false;
  }
}

void case_set::add_targets(std::vector<wait_target>& to) const {
  for (const channel_case& one : cases_) {
    if (!waits_for(one)) continue;
    to.push_back(one.at->target);
    if (one.at->own_side != nullptr) to.push_back(*one.at->own_side);
  }
}

// ---------------------------------------------------------------- threads

namespace {

bool time_is_over(const wait_how& how) noexcept { return how.deadline != nullptr && now() >= *how.deadline; }

[[noreturn]] void throw_stopped(const wait_how& how) {
  throw cancelled(wait_text(how) + ": a stop was requested first");
}

// For as long as a wake-up takes. Not for rendezvous, where the other side must find us in a list.
case_result spin(case_set& set, const wait_how& how, const std::stop_token& stop) {
  for (std::uint32_t left = set.patience(); left != 0; --left) cpu::pause();
  for (spinner looks(spinner::before_sleep); looks.once();) {
    if (set.looks_ready()) {
      set.learn();
      if (const case_result result = set.try_all()) return result;
    }
    if (stop.stop_requested() || time_is_over(how)) break;
  }
  return {};
}

// The same in the lists: true once the ticket was claimed.
bool spin_on(const wait_ticket& ticket) noexcept {
  for (spinner looks(spinner::before_sleep); looks.once();) {
    if (ticket.outcome() != wait_ticket::open) return true;
  }
  return false;
}

// One sleep in all lists; leaves them. Throws what blocking_wait throws, unless somebody came in between.
case_result sleep_once(case_set& set, wait_ticket& ticket, const wait_how& how, std::optional<blocking_wait>& blocked) {
  try {
    if (!set.meets() || !spin_on(ticket)) {
      if (!blocked) blocked.emplace(&set, how);
      std::vector<wait_target> targets;
      if (wait_graph::observer() != nullptr) set.add_targets(targets);
      blocked->sleep(ticket, targets);
    }
    set.leave();
  } catch (...) {
    const bool nobody = static_cast<bool>(ticket.try_claim(by_self));
    set.leave();
    if (nobody || ticket.outcome() == wait_ticket::by_stop || ticket.outcome() == wait_ticket::by_timeout) throw;
    if (const case_result result = set.after(ticket.outcome())) return result;
    throw;
  }
  const std::uint32_t outcome = ticket.outcome();
  if (outcome != wait_ticket::by_timeout && outcome != wait_ticket::by_stop) return set.after(outcome);
  const case_result result = set.try_all();
  if (!result && outcome == wait_ticket::by_stop) throw_stopped(how);
  return result;
}

// All cases have just been looked at.
case_result keep_waiting(case_set& set, const wait_how& how) {
  const std::stop_token stop = how.stop.token();
  if (!set.meets()) {
    if (const case_result result = spin(set, how, stop)) return result;
  }
  std::optional<blocking_wait> blocked;
  for (;;) {
    if (stop.stop_requested()) throw_stopped(how);
    if (time_is_over(how)) return {};
    wait_ticket ticket(this_parker());
    case_result result;
    switch (set.enter(ticket, /*often=*/false, result)) {
      case case_set::entered::met: return result;
      case case_set::entered::again: result = set.try_all(); break;
      case case_set::entered::waits: result = sleep_once(set, ticket, how, blocked); break;
    }
    if (result) return result;
  }
}

}  // namespace

case_result wait_for(case_set& set, const wait_how& how) {
  if (const case_result result = set.try_all()) return result;
  return keep_waiting(set, how);
}

case_result wait_for_one(port& at, void* value, const wait_how& how) {
  channel_case one{&at, value};
  small_mutex* lock = nullptr;
  std::uint32_t order = 0;
  case_set set({&one, 1}, {&lock, 1}, {&order, 1}, choice::in_order);
  wait_how named = how;
  named.target = &at.target;
  return keep_waiting(set, named);
}

// ---------------------------------------------------------------- coroutines

bool case_wait::arm() noexcept {
  for (;;) {
    switch (set_.enter(ticket(), /*often=*/true, result_)) {
      case case_set::entered::met: return true;
      case case_set::entered::waits: return false;
      case case_set::entered::again: break;
    }
    result_ = set_.try_all();
    if (result_) return true;
    begin_again();
  }
}

bool case_wait::woken(std::uint32_t outcome) noexcept {
  result_ = set_.after(outcome);
  return static_cast<bool>(result_);
}

std::span<const wait_target> case_wait::targets() const noexcept {
  if (wait_graph::observer() == nullptr) return {};
  targets_.clear();
  set_.add_targets(targets_);
  return targets_;
}

}  // namespace tutti::detail
