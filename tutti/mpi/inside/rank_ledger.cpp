#include <tutti/mpi/inside/rank_ledger.hpp>

#include <tutti/mpi/status.hpp>

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace tutti::mpi::detail {
namespace {

// Of a communicator: its collectives that do not block.
constexpr std::uint64_t are_nonblocking = std::uint64_t{1} << 63;

bool is_rank(const awaited& what) noexcept {
  return what.peer >= 0 && static_cast<std::size_t>(what.peer) < what.where->world_ranks.size();
}

int in_world(const comm_state& where, int rank) { return where.world_ranks.at(static_cast<std::size_t>(rank)); }

std::string tag_of(int tag) { return tag == any_tag ? "any tag" : "tag " + std::to_string(tag); }

std::optional<std::int64_t> read_clock(::clockid_t clock) noexcept {
  ::timespec used{};
  if (::clock_gettime(clock, &used) != 0) return {};
  return std::int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

}  // namespace

std::int64_t used_by_this_thread() noexcept { return read_clock(CLOCK_THREAD_CPUTIME_ID).value_or(0); }

std::optional<std::int64_t> used_by(long thread) noexcept {
  // How the kernel numbers the clocks of threads; pthread_getcpuclockid does the same, but wants a pthread_t.
  constexpr int of_a_thread = 4, in_nanoseconds = 2;
  return read_clock(static_cast<::clockid_t>((~static_cast<unsigned>(thread) << 3) | of_a_thread | in_nanoseconds));
}

long this_thread_number() noexcept {
  static thread_local const long number = ::syscall(SYS_gettid);
  return number;
}

void rank_ledger::traffic::add(int tag, long thread) {
  ++total;
  if (folded) return;
  of_tag& counted = tags[tag];
  ++counted.count;
  counted.mixed = counted.mixed || (counted.thread != 0 && counted.thread != thread);
  counted.thread = thread;
  if (tags.size() <= most_tags) return;
  folded = true;
  tags.clear();
}

std::uint64_t rank_ledger::traffic::count(int tag) const {
  if (folded || tag == any_tag) return total;
  const auto found = tags.find(tag);
  return found == tags.end() ? 0 : found->second.count;
}

void rank_ledger::count_sent(const comm_state& where, int to, int tag) {
  const awaited what{.by = ended_by::receiver, .where = &where, .peer = to, .tag = tag};
  if (!is_rank(what) || where.watch_id == 0) return;
  communicators_[where.watch_id].sent[in_world(where, to)].add(tag, this_thread_number());
}

rank_ledger::entry rank_ledger::entry_of(const awaited& what) {
  if (what.request != 0) {
    const auto begun = requests_.find(what.request);
    if (begun != requests_.end()) return begun->second;
    return {};  // it was given up
  }
  if (what.where == nullptr || what.where->watch_id == 0) return {};  // nothing is known
  entry made{.what = what, .peer = any_source, .number = 0, .comm = what.where->watch_id};
  communicator& here = communicators_[made.comm];
  if (is_rank(what)) made.peer = in_world(*what.where, what.peer);
  if (what.by == ended_by::everyone) {
    made.number = here.collectives[what.nonblocking ? 1 : 0];
    if (what.nonblocking) made.comm |= are_nonblocking;
  } else if (what.by == ended_by::receiver && is_rank(what)) {
    const traffic& to = here.sent[made.peer];
    const auto counted = to.tags.find(what.tag);
    if (!to.folded && counted != to.tags.end() && !counted->second.mixed) made.number = counted->second.count;
  }
  if (what.probes) made.had = received_by(made);
  return made;
}

std::uint64_t rank_ledger::begin_request(const awaited& what) {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  if (what.by == ended_by::receiver) count_sent(*what.where, what.peer, what.tag);
  const std::uint64_t id = next_id();
  requests_.emplace(id, entry_of(what));
  return id;
}

void rank_ledger::end_request(std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  requests_.erase(id);
}

void rank_ledger::sent(const comm_state& where, int to, int tag) {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  count_sent(where, to, tag);
}

void rank_ledger::received(const comm_state& where, int from, int tag) {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  const awaited what{.by = ended_by::message, .where = &where, .peer = from, .tag = tag};
  if (is_rank(what) && where.watch_id != 0) communicators_[where.watch_id].received[in_world(where, from)].add(tag, 0);
}

void rank_ledger::arrived(const comm_state& where, bool nonblocking) {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  ++communicators_[where.watch_id].collectives[nonblocking ? 1 : 0];
}

void rank_ledger::given_away(const comm_state& where) {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  communicators_[where.watch_id].given_away = true;
}

std::uint64_t rank_ledger::begin_call(const char* call, std::span<const awaited> needs, bool all, const place& here,
                                      long thread) {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  call_entry made{.call = call, .here = here, .thread = thread, .all = all, .needs = {}, .used = 0};
  for (const awaited& one : needs) made.needs.push_back(entry_of(one));
  if (thread != 0) made.used = used_by_this_thread();
  const std::uint64_t id = next_id();
  calls_.emplace(id, std::move(made));
  return id;
}

void rank_ledger::end_call(std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  calls_.erase(id);
}

void rank_ledger::doubt_call(std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  for (entry& one : found->second.needs) one.what.where = nullptr;
}

void rank_ledger::doubt_request(std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  const auto found = requests_.find(id);
  if (found != requests_.end()) found->second.what.where = nullptr;
}

void rank_ledger::end_of_rank(const place& here) {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  ended_ = here;
}

std::uint64_t rank_ledger::epoch() const {
  const std::lock_guard lock(mutex_);
  return epoch_;
}

bool rank_ledger::has_ended() const {
  const std::lock_guard lock(mutex_);
  return ended_.has_value();
}

std::vector<long> rank_ledger::waiting_threads() const {
  const std::lock_guard lock(mutex_);
  std::vector<long> threads;
  for (const auto& [id, call] : calls_) {
    if (call.thread != 0) threads.push_back(call.thread);
  }
  return threads;
}

bool rank_ledger::waits_in_call(long thread) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(calls_.begin(), calls_.end(),
                     [&](const auto& one) { return one.second.thread == thread && !one.second.needs.empty(); });
}

std::vector<std::int32_t> rank_ledger::senders_of(const entry& one) const {
  if (is_rank(one.what)) return {one.peer};
  if (one.what.peer == any_source) return one.what.where->world_ranks;
  return {};
}

std::vector<std::uint64_t> rank_ledger::received_by(const entry& one) const {
  const auto found = communicators_.find(one.comm);
  std::vector<std::uint64_t> counts;
  for (const int rank : senders_of(one)) {
    if (found == communicators_.end()) {
      counts.push_back(0);
      continue;
    }
    const auto from = found->second.received.find(rank);
    counts.push_back(from == found->second.received.end() ? 0 : from->second.count(one.what.tag));
  }
  return counts;
}

// Nothing when it may come about by something that is not known.
std::optional<rank_need> rank_ledger::need_of(const entry& one) const {
  const awaited& what = one.what;
  if (what.where == nullptr) return {};
  const auto found = communicators_.find(one.comm & ~are_nonblocking);
  if (found == communicators_.end() || found->second.given_away) return {};
  rank_need need;
  need.communicator = one.comm;
  need.tag = what.tag;
  need.number = one.number;
  switch (what.by) {
    case ended_by::message:
      need.ranks = senders_of(one);
      if (need.ranks.empty()) return {};  // no_rank: it ends at once
      // What a probe has found may be received by another thread before the probe returns.
      need.received = what.probes ? one.had : received_by(one);
      break;
    case ended_by::receiver:
      if (!is_rank(what) || one.number == 0) return {};
      if (what.standard >= 0 && what.standard <= most_buffered) return {};
      need.by = way_out::receiver;
      need.ranks = {one.peer};
      break;
    case ended_by::everyone:
      if (one.number == 0) return {};
      need.by = way_out::everyone;
      need.tag = any_tag_at_all;
      std::copy_if(what.where->world_ranks.begin(), what.where->world_ranks.end(), std::back_inserter(need.ranks),
                   [&](int rank) { return rank != rank_; });
      if (need.ranks.empty()) return {};
      break;
  }
  return need;
}

std::string rank_ledger::text_of(const call_entry& call) const {
  std::string text = call.call;
  const char* between = " ";
  std::size_t shown = 0;
  for (const entry& one : call.needs) {
    if (one.what.where == nullptr) continue;
    if (++shown > 4) return text + ", and " + std::to_string(call.needs.size() - 4) + " more";
    const awaited& what = one.what;
    text += std::exchange(between, call.all ? "; and " : "; or ");
    if (what.call[0] != '\0') text += std::string("for ") + what.call + ' ';
    if (what.by != ended_by::everyone) {
      text += what.by == ended_by::message ? "from " : "to ";
      text += what.peer == any_source ? "any rank" : std::to_string(what.peer);
      if (what.peer != any_source && one.peer != what.peer) text += " (rank " + std::to_string(one.peer) + " of world)";
      text += ", " + tag_of(what.tag) + ", ";
    }
    text += "on " + what.where->name;
    if (what.begun.line != 0)
      text += ", begun at " + std::string(what.begun.file) + ':' + std::to_string(what.begun.line);
  }
  return text;
}

rank_ledger::standing rank_ledger::look() const {
  const std::lock_guard lock(mutex_);
  standing found{.report = {.epoch = epoch_, .calls = {}}, .doubtful = 0, .threads = {}};
  if (ended_) {
    rank_need all;
    all.by = way_out::everyone;
    all.communicator = end_of_mpi;
    all.number = 1;
    for (int rank = 0; rank < size_; ++rank) {
      if (rank != rank_) all.ranks.push_back(rank);
    }
    if (!all.ranks.empty()) {
      found.report.calls.push_back({.text = "the end of its mpi::environment, begun",
                                    .where = to_string(*ended_),
                                    .any = false,
                                    .needs = {all}});
    }
    return found;
  }
  for (const auto& [id, call] : calls_) {
    if (call.needs.empty()) continue;  // idle
    rank_call said{.text = text_of(call), .where = to_string(call.here), .any = !call.all, .needs = {}};
    for (const entry& one : call.needs) {
      if (auto need = need_of(one)) {
        said.needs.push_back(std::move(*need));
        found.doubtful = std::max(found.doubtful, one.what.standard);
      } else if (!call.all) {
        said.needs.clear();
        break;
      }
    }
    if (said.needs.empty()) return {.report = {.epoch = epoch_, .calls = {}}, .doubtful = 0, .threads = {}};
    found.report.calls.push_back(std::move(said));
    if (call.thread != 0) found.threads.emplace_back(call.thread, call.used);
  }
  return found;
}

bool rank_ledger::is_posted(const rank_question& asked) const {
  const auto takes = [&](const entry& one) {
    const awaited& what = one.what;
    return what.where != nullptr && what.by == ended_by::message && !what.probes && one.comm == asked.communicator &&
           (what.peer == any_source || one.peer == asked.asker) && (what.tag == any_tag || what.tag == asked.tag);
  };
  for (const auto& [id, one] : requests_) {
    if (takes(one)) return true;
  }
  for (const auto& [id, call] : calls_) {
    if (std::any_of(call.needs.begin(), call.needs.end(), takes)) return true;
  }
  return false;
}

bool rank_ledger::has_done(const rank_question& asked) const {
  if (asked.communicator == end_of_mpi) return ended_.has_value();
  const auto found = communicators_.find(asked.communicator & ~are_nonblocking);
  if (found == communicators_.end()) return false;
  const communicator& here = found->second;
  if (here.given_away) return true;
  const auto count = [&](const std::map<int, traffic>& all) {
    const auto with = all.find(asked.asker);
    return with == all.end() ? 0 : with->second.count(asked.tag);
  };
  switch (asked.by) {
    case way_out::message: return count(here.sent) > asked.number;
    case way_out::receiver: return count(here.received) >= asked.number || is_posted(asked);
    case way_out::everyone:
      return here.collectives[(asked.communicator & are_nonblocking) != 0 ? 1 : 0] >= asked.number;
  }
  return true;
}

std::pair<std::uint64_t, std::vector<bool>> rank_ledger::answer(std::span<const rank_question> asked) const {
  const std::lock_guard lock(mutex_);
  std::pair<std::uint64_t, std::vector<bool>> answers(epoch_, {});
  for (const rank_question& one : asked) answers.second.push_back(has_done(one));
  return answers;
}

}  // namespace tutti::mpi::detail
