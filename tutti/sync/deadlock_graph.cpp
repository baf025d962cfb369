#include <tutti/sync/deadlock_graph.hpp>

#include <tutti/core/future_state.hpp>
#include <tutti/core/wait_list.hpp>

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>

namespace tutti::detail {
namespace {

std::string quoted(std::string_view kind, std::string_view name, const void* address) {
  std::string text(kind);
  if (!name.empty()) return text + " \"" + std::string(name) + '"';
  std::array<char, 24> hex{};
  std::snprintf(hex.data(), hex.size(), " %p", address);
  return text + hex.data();
}

std::string seconds(deadlock_graph::time_point since, deadlock_graph::time_point now) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g s",
                std::chrono::duration<double>(std::max(now, since) - since).count());
  return text.data();
}

// Threads keep theirs, so that what one does time after time is known to be the same one's; addresses are used again.
std::uint64_t new_number(bool of_thread) {
  static constinit std::atomic<std::uint64_t> given{0};
  static constinit thread_local std::uint64_t of_this_thread = 0;
  if (!of_thread) return ++given;
  if (of_this_thread == 0) of_this_thread = ++given;
  return of_this_thread;
}

}  // namespace

std::string party_text(const wait_party& who) {
  if (who.task != nullptr) return quoted("task", shown_name(who.task), who.id);
  std::array<char, 16> name{};
  ::pthread_getname_np(::pthread_self(), name.data(), name.size());
  return quoted("thread", name.data(), who.id) + " (" + std::to_string(::syscall(SYS_gettid)) + ')';
}

// ---------------------------------------------------------------- what is told

void deadlock_graph::add_resource(const wait_target& made, std::size_t total) {
  resource& entry = resources_[made.resource];
  entry.text = quoted(made.kind, made.name, made.resource);
  entry.rule = made.rule;
  entry.total = total;
}

void deadlock_graph::remove_resource(const void* lost) noexcept {
  const auto found = resources_.find(lost);
  if (found == resources_.end()) return;
  for (const holder& one : found->second.holders) {
    const auto who = parties_.find(one.who);
    if (who == parties_.end()) continue;
    std::erase_if(who->second.holds, [&](const hold& h) { return h.resource == lost; });
    leave_if_idle(one.who);
  }
  resources_.erase(found);
}

deadlock_graph::party& deadlock_graph::enter(const wait_party& who) {
  const auto [at, is_new] = parties_.try_emplace(who.id);
  if (is_new) {
    at->second.name = party_text(who);
    at->second.number = new_number(who.task == nullptr);
    ++namesakes_[at->second.name];
  }
  return at->second;
}

void deadlock_graph::leave_if_idle(const void* who) noexcept {
  const auto found = parties_.find(who);
  if (found != parties_.end() && found->second.holds.empty() && found->second.waits.empty()) forget(found);
}

void deadlock_graph::forget(std::unordered_map<const void*, party>::iterator who) noexcept {
  const auto named = namesakes_.find(who->second.name);
  if (named != namesakes_.end() && --named->second == 0) namesakes_.erase(named);
  parties_.erase(who);
}

void deadlock_graph::add_hold(const wait_party& who, const wait_target& target, const place& here) {
  const auto [at, is_new] = resources_.try_emplace(target.resource);
  resource& entry = at->second;
  if (is_new) {
    // Not told of its birth: how many may hold it is not known.
    entry.text = quoted(target.kind, target.name, target.resource);
    entry.rule = target.rule;
    entry.total = ~std::size_t{0};
  }
  entry.holders.push_back({who.id, here, target.shared});
  const bool exclusive = target.rule == wait_rule::all_release && !target.shared;
  if (who.id != nullptr) enter(who).holds.push_back({target.resource, here, exclusive});
}

void deadlock_graph::remove_hold(const void* who, const void* target) noexcept {
  const auto found = resources_.find(target);
  if (found == resources_.end()) return;
  auto& holders = found->second.holders;
  // Newest first: a recursive lock is given up in that order.
  auto one = std::find_if(holders.rbegin(), holders.rend(), [&](const holder& h) { return h.who == who; });
  if (one == holders.rend()) {
    one = std::find_if(holders.rbegin(), holders.rend(), [](const holder& h) { return h.who == nullptr; });
  }
  if (one == holders.rend()) return;  // taken before anybody listened
  const void* const holder_id = one->who;
  holders.erase(std::next(one).base());
  if (holders.empty() && found->second.rule != wait_rule::one_acts) resources_.erase(found);
  const auto held_by = parties_.find(holder_id);
  if (held_by == parties_.end()) return;
  auto& holds = held_by->second.holds;
  const auto held = std::find_if(holds.rbegin(), holds.rend(), [&](const hold& h) { return h.resource == target; });
  if (held != holds.rend()) holds.erase(std::next(held).base());
  leave_if_idle(holder_id);
}

void deadlock_graph::end_party(const void* who) noexcept {
  const auto found = parties_.find(who);
  if (found == parties_.end()) return;
  for (const hold& one : found->second.holds) {
    const auto of = resources_.find(one.resource);
    if (of == resources_.end()) continue;
    for (holder& h : of->second.holders) {
      if (h.who == who) h.who = nullptr;
    }
  }
  forget(found);
}

void deadlock_graph::add_wait(const wait_observer::wait& wait, time_point now) {
  enter(wait.who).waits.push_back({&wait, now});
}

void deadlock_graph::remove_wait(const wait_observer::wait& wait) noexcept {
  const auto found = parties_.find(wait.who.id);
  if (found == parties_.end()) return;
  std::erase_if(found->second.waits, [&](const waiting& w) { return w.wait == &wait; });
  leave_if_idle(wait.who.id);
}

// ---------------------------------------------------------------- what follows from it

const deadlock_graph::waiting* deadlock_graph::blocked(const void* who) const noexcept {
  const auto found = parties_.find(who);
  if (found == parties_.end() || found->second.waits.empty()) return nullptr;
  const waiting& inner = found->second.waits.back();
  const wait_observer::wait& wait = *inner.wait;
  if (wait.limited || wait.targets.empty()) return nullptr;
  if (wait.ticket != nullptr && wait.ticket->outcome() != wait_ticket::open) return nullptr;
  return &inner;
}

template <class Lost>
bool deadlock_graph::is_lost(const waiting& waits, const Lost& lost) const {
  const auto hopeless = [&](const wait_target& target) {
    if (target.rule == wait_rule::unknown) return false;
    if (target.rule == wait_rule::it_ends) return lost(target.resource);
    const auto found = resources_.find(target.resource);
    if (found == resources_.end()) return false;
    const auto& holders = found->second.holders;
    const auto holder_lost = [&](const holder& h) { return h.who != nullptr && lost(h.who); };
    if (target.rule == wait_rule::all_release) {
      return std::any_of(holders.begin(), holders.end(),
                         [&](const holder& h) { return !(h.shared && target.shared) && holder_lost(h); });
    }
    return found->second.total != 0 && holders.size() >= found->second.total &&
           std::all_of(holders.begin(), holders.end(), holder_lost);
  };
  const auto& targets = waits.wait->targets;
  return waits.wait->all ? std::any_of(targets.begin(), targets.end(), hopeless)
                         : std::all_of(targets.begin(), targets.end(), hopeless);
}

// Those that are lost among all that `who` leads to, in the order of the search; empty if `who` is not. Each is looked
// at once: a wait that ends meanwhile is ended by one that was not lost when it was looked at.
deadlock_graph::parties deadlock_graph::lost_with(const void* who) const {
  parties seen{who};
  std::unordered_map<const void*, const waiting*> lost{{who, nullptr}};  // null: not lost
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const waiting* const waits = blocked(seen[i]);
    lost[seen[i]] = waits;
    if (waits == nullptr) continue;
    const auto visit = [&](const void* next) {
      if (next != nullptr && lost.try_emplace(next, nullptr).second) seen.push_back(next);
    };
    for (const wait_target& target : waits->wait->targets) {
      if (target.rule == wait_rule::it_ends) {
        visit(target.resource);
      } else if (const auto found = resources_.find(target.resource); found != resources_.end()) {
        for (const holder& one : found->second.holders) visit(one.who);
      }
    }
  }
  const auto counts_as_lost = [&](const void* p) {
    const auto found = lost.find(p);
    return found != lost.end() && found->second != nullptr;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (const void* const one : seen) {
      const waiting*& waits = lost[one];
      if (waits == nullptr || is_lost(*waits, counts_as_lost)) continue;
      waits = nullptr;
      changed = true;
    }
  }
  if (!counts_as_lost(who)) return {};
  std::erase_if(seen, [&](const void* p) { return !counts_as_lost(p); });
  return seen;
}

std::string deadlock_graph::explain_deadlock(const void* who, time_point now) const {
  const parties lost = lost_with(who);
  if (lost.empty()) return {};
  std::string text = lost.size() == 1 ? "deadlock: it waits for itself\n"
                                      : "deadlock: " + std::to_string(lost.size()) + " wait for one another\n";
  for (const void* const one : lost) text += describe(parties_.at(one), now);
  return text + "  The wait of " + shown(parties_.at(who)) + " was refused, as it would have been the last.";
}

// ---------------------------------------------------------------- for people

bool deadlock_graph::is_lock(const void* of) const noexcept {
  const auto found = resources_.find(of);
  return found != resources_.end() && found->second.rule == wait_rule::all_release;
}

std::string deadlock_graph::name_of(const void* of) const {
  const auto found = resources_.find(of);
  return found == resources_.end() ? quoted("lock", {}, of) : found->second.text;
}

// Tasks of one function have one name.
std::string deadlock_graph::shown(const party& one) const {
  const auto named = namesakes_.find(one.name);
  if (named == namesakes_.end() || named->second < 2) return one.name;
  return one.name + " #" + std::to_string(one.number);
}

std::string deadlock_graph::holders_text(const wait_target& target) const {
  const auto found = resources_.find(target.resource);
  if (target.rule == wait_rule::it_ends || found == resources_.end()) return {};
  std::string text;
  for (const holder& one : found->second.holders) {
    const auto known = parties_.find(one.who);
    text += text.empty() ? ", held by " : ", ";
    text += known == parties_.end() ? "somebody" : shown(known->second);
  }
  return text;
}

std::string deadlock_graph::describe(const party& what, time_point now) const {
  const waiting& waits = what.waits.back();
  std::string text = "  " + shown(what) + " waits in " + waits.wait->what;
  bool first = true;
  for (const wait_target& target : waits.wait->targets) {
    text += first ? " for " : waits.wait->all ? " and " : " or ";
    first = false;
    const auto ending = target.rule == wait_rule::it_ends ? parties_.find(target.resource) : parties_.end();
    text += ending != parties_.end() ? shown(ending->second)
                                     : quoted(target.kind, target.name, target.resource) + holders_text(target);
  }
  text += "\n      at " + to_string(waits.wait->here) + ", for " + seconds(waits.since, now) + '\n';
  for (const hold& one : what.holds) {
    text += "      holds " + name_of(one.resource);
    if (one.taken.file[0] != '\0') text += ", taken at " + to_string(one.taken);
    text += '\n';
  }
  return text;
}

std::vector<std::string> deadlock_graph::starving(time_point before, time_point now) {
  std::vector<std::string> found;
  for (auto& [id, who] : parties_) {
    static_cast<void>(id);
    if (who.waits.empty()) continue;
    waiting& inner = who.waits.back();
    if (inner.reported || inner.since > before) continue;
    inner.reported = true;
    found.push_back("starvation:\n" + describe(who, now));
  }
  return found;
}

const deadlock_graph::party* deadlock_graph::find(const void* who) const noexcept {
  const auto found = parties_.find(who);
  return found == parties_.end() ? nullptr : &found->second;
}

}  // namespace tutti::detail
