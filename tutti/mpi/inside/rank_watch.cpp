#include <tutti/mpi/inside/rank_watch.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/mpi/inside/native_handle.hpp>
#include <tutti/mpi/inside/watch_thread.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace tutti::mpi::detail {
namespace {

constexpr std::uint64_t id_of_world = 1, id_of_self = 2, first_id = 3;

struct watch_state {
  // From before MPI begins.
  std::vector<long> threads_before;
  std::optional<std::vector<quiet_thread>> quiet_before;
  std::chrono::nanoseconds late{};
  // While MPI is there.
  std::unique_ptr<rank_ledger> ledger;
  std::unique_ptr<watch_thread> thread;
  MPI_Comm agreement_of_world = MPI_COMM_NULL;
  int rank = 0;
  std::atomic<std::uint64_t> next_id{first_id};
};

watch_state& state() {
  static watch_state& only = *new watch_state;  // requests may outlive static objects
  return only;
}

std::chrono::nanoseconds late_from_environment() {
  const char* const text = std::getenv("TUTTI_WATCH_COLLECTIVES");
  if (text == nullptr) return std::chrono::seconds(10);
  const std::string_view number(text);
  double seconds = 0;
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), seconds);
  if (parsed.ec != std::errc() || parsed.ptr != number.data() + number.size() || !(seconds > 0 && seconds < 1e9)) {
    throw std::invalid_argument("TUTTI_WATCH_COLLECTIVES: \"" + std::string(number) +
                                "\" is not a positive number of seconds");
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

// The threads that MPI has started: those that came while it began, if nobody else was awake to start any. Otherwise
// none is known to be MPI's, and all count as the program's.
std::vector<long> threads_of_mpi() {
  const watch_state& all = state();
  std::vector<long> added;
  if (!all.quiet_before) return added;
  const std::vector<long> now = all_threads();
  std::set_difference(now.begin(), now.end(), all.threads_before.begin(), all.threads_before.end(),
                      std::back_inserter(added));
  std::vector<long> others = added;
  others.push_back(this_thread_number());
  if (quiet_threads(others, {}) != all.quiet_before) added.clear();
  return added;
}

// FNV-1a.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

std::string text_of(const collective_signature& what) {
  std::string text = what.call;
  if (what.root >= 0) text += ", root " + std::to_string(what.root);
  if (what.bytes != 0) text += ", " + std::to_string(what.bytes) + " bytes";
  if (what.element_size != 0) text += ", elements of " + std::to_string(what.element_size) + " bytes";
  if (what.op[0] != '\0') text += std::string(", ") + what.op;
  return text;
}

[[noreturn]] void refuse_collective(const comm_state& where, const std::string& mine, const char* call,
                                    const place& here) {
  constexpr std::size_t room = 512;
  std::array<char, room> own{};
  const std::string shown = mine + " at " + to_string(here);
  std::memcpy(own.data(), shown.data(), std::min(shown.size(), room - 1));
  std::vector<char> all(room * static_cast<std::size_t>(where.size));
  MPI_Allgather(own.data(), room, MPI_CHAR, all.data(), room, MPI_CHAR, handle_of<MPI_Comm>(where.agreement));
  std::vector<std::pair<std::string, std::vector<std::int32_t>>> kinds;  // in the order of their first ranks
  for (int r = 0; r < where.size; ++r) {
    const std::string one = &all[room * static_cast<std::size_t>(r)];
    auto known = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.first == one; });
    if (known == kinds.end()) known = kinds.insert(kinds.end(), {one, {}});
    known->second.push_back(r);
  }
  std::string text = std::string("mpi::") + call + " on rank " + std::to_string(where.rank) + " of " + where.name +
                     ": the ranks do not make the same collective call:";
  for (const auto& [one, ranks] : kinds) {
    text += (ranks.size() == 1 ? "\n  rank " : "\n  ranks ") + ranks_text(ranks) + ": " + one;
  }
  throw deadlock(text);
}

}  // namespace

void watched_call::begin(const char* call, const awaited* what, std::size_t count, bool all, const place& here) {
  id_ = state().ledger->begin_call(call, {what, count}, all, here, this_thread_number());
}
void watched_call::end() noexcept { state().ledger->end_call(id_); }

void watched_idle::begin() { id_ = state().ledger->begin_call("", {}, true, {}, this_thread_number()); }
void watched_idle::end() noexcept { state().ledger->end_call(id_); }

std::uint64_t begin_request_watched(const awaited& what) { return state().ledger->begin_request(what); }
void end_request_watched(std::uint64_t id) noexcept { state().ledger->end_request(id); }
std::uint64_t begin_await_watched(const char* call, const awaited& what, const place& here) {
  return state().ledger->begin_call(call, {&what, 1}, true, here, 0);
}
void end_await_watched(std::uint64_t id) noexcept { state().ledger->end_call(id); }
void doubt_await_watched(std::uint64_t id) noexcept { state().ledger->doubt_call(id); }
void doubt_request_watched(const comm_state& where, std::uint64_t id) noexcept {
  state().ledger->given_away(where);
  state().ledger->doubt_request(id);
}
void note_sent_watched(const comm_state& where, int to, int tag) { state().ledger->sent(where, to, tag); }
void note_received_watched(const comm_state& where, int from, int tag) { state().ledger->received(where, from, tag); }
void note_native_watched(const comm_state& where) { state().ledger->given_away(where); }
std::uint64_t begin_collective_watched(const comm_state& where, const char* call, const place& here) {
  state().ledger->arrived(where, true);
  return state().ledger->begin_request(
      {.by = ended_by::everyone, .where = &where, .nonblocking = true, .call = call, .begun = here});
}

void check_collective_watched(comm_state& where, const collective_signature& what, const place& here) {
  if (where.agreement == 0 || where.size <= 1) return;
  state().ledger->arrived(where, false);
  const std::string mine = text_of(what);
  const std::uint64_t hash = hash_of(mine);
  const std::array<std::uint64_t, 2> own{hash, ~hash};
  std::array<std::uint64_t, 2> most{};
  {
    const watched_call waits(what.call, {.by = ended_by::everyone, .where = &where}, here);
    check(MPI_Allreduce(own.data(), most.data(), 2, MPI_UINT64_T, MPI_MAX, handle_of<MPI_Comm>(where.agreement)), where,
          what.call, here);
  }
  if (most[0] != ~most[1]) refuse_collective(where, mine, what.call, here);
}

void watch_communicator(comm_state& made) {
  watch_state& all = state();
  const auto comm = comm_of(made);
  if (!made.owned) {
    if (comm == MPI_COMM_WORLD) {
      made.watch_id = id_of_world;
      made.agreement = number_of(all.agreement_of_world);
    } else if (comm == MPI_COMM_SELF) {
      made.watch_id = id_of_self;
    }
    return;  // others: they are not ours, and nothing is known of who uses them
  }
  MPI_Comm agreement = MPI_COMM_NULL;
  MPI_Comm_dup(comm, &agreement);
  std::uint64_t id = (static_cast<std::uint64_t>(all.rank) << 32) + all.next_id++;
  MPI_Bcast(&id, 1, MPI_UINT64_T, 0, agreement);
  made.watch_id = id;
  made.agreement = number_of(agreement);
}

void unwatch_communicator(comm_state& lost) noexcept {
  if (lost.agreement == 0) return;
  auto agreement = handle_of<MPI_Comm>(std::exchange(lost.agreement, 0));
  MPI_Comm_free(&agreement);
}

void note_own_thread() {
  if (watching()) state().thread->add_own_thread(this_thread_number());
}

void before_mpi() {
  watch_state& all = state();
  all.late = late_from_environment();
  all.threads_before = all_threads();
  const std::array self{this_thread_number()};
  all.quiet_before = quiet_threads(self, {});
}

bool all_watch(bool this_one) {
  int watching_ranks = this_one ? 1 : 0;
  MPI_Allreduce(MPI_IN_PLACE, &watching_ranks, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (watching_ranks == size) return true;
  if (this_one) {
    log(log_level::warn, "no deadlock watch: TUTTI_WATCH is not set on all ranks; mpirun -x TUTTI_WATCH sends it along",
        {{"ranks", size}, {"with it", watching_ranks}});
  }
  return false;
}

void start_watch(bool one_thread) {
  watch_state& all = state();
  std::vector<long> of_mpi = threads_of_mpi();
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &all.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm own = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &own);
  MPI_Comm_dup(MPI_COMM_WORLD, &all.agreement_of_world);
  all.ledger = std::make_unique<rank_ledger>(all.rank, size);
  all.thread = std::make_unique<watch_thread>(
      own, *all.ledger,
      watch_thread::options{.late = all.late,
                            .one_thread = one_thread,
                            .own_threads = std::move(of_mpi),
                            .library = code_of_library(reinterpret_cast<const void*>(&MPI_Init_thread))});
}

void stop_watch(const place& here) {
  watch_state& all = state();
  all.thread->finish(here);
  MPI_Comm_free(&all.agreement_of_world);
  // The ledger stays: requests may be destroyed after the end.
}

}  // namespace tutti::mpi::detail
