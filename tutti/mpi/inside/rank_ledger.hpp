// rank_ledger: what one rank has done and waits for, as the deadlock watch must know it. No MPI in here.
//
// Two kinds of entries. A *request* is a send, receive or collective that was begun and has not ended; a *call* is a
// thread, or a coroutine, that waits now, for requests or for something of its own. Beside them stand counts of what
// was sent to and received from each rank with each tag, from which follows whether a message is on its way.
//
// Where the counts could lead to a false alarm they say less: sends of several threads to one rank with one tag have no
// known order, and too many tags are not told apart any more. Such a wait counts as one that can end.
#pragma once
#include <tutti/base/place.hpp>
#include <tutti/mpi/comm_state.hpp>
#include <tutti/mpi/inside/rank_graph.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tutti::mpi::detail {

/// What ends a call that waits.
enum class ended_by : std::uint8_t { message, receiver, everyone };

/// One thing that a call waits for.
struct awaited {
  ended_by by = ended_by::message;
  const comm_state* where = nullptr;
  int peer = -1;               // of that communicator; any_source
  int tag = -1;                // any_tag
  bool probes = false;         // message: it is looked for, and stays where it is
  std::int64_t standard = -1;  // receiver: the length of a send that may end without one; -1: it cannot
  bool nonblocking = false;    // everyone: a collective that was begun and not waited for
  const char* call = "";       // by which it began, if that was another call,
  place begun = {};            // and where
  std::uint64_t request = 0;   // that of begin_request, and all else is there; 0: it begins with the call
};

/// A send that is no longer than this may be buffered by MPI, so it ends without its receiver, be it late: while MPI
/// connects, or a network is slow. Longer ones are passed on when their receive is there; what MPI offers as a limit is
/// 4 KiB among the ranks of a machine, and 64 KiB in networks.
inline constexpr std::int64_t most_buffered = std::int64_t{64} << 10;

/// Thread-safe.
class rank_ledger {
 public:
  /// Tags to and from one rank that are told apart.
  static constexpr std::size_t most_tags = 1024;

  /// This rank of so many, in world.
  rank_ledger(int rank, int size) : rank_(rank), size_(size) {}

  /// A send, receive or collective begins; never 0.
  std::uint64_t begin_request(const awaited& what);
  /// It is over, or nothing is known of it any more.
  void end_request(std::uint64_t id) noexcept;

  /// A message is sent. Told before MPI is, or by the thread that has just told it.
  void sent(const comm_state& where, int to, int tag);
  /// A message has been received. Told before the call or request that did it ends, or right after, by its thread.
  void received(const comm_state& where, int from, int tag);
  /// The next collective begins here. Those that block and those that do not are never one collective: counted apart.
  void arrived(const comm_state& where, bool nonblocking);
  /// Others than we use it, of whom nothing is known.
  void given_away(const comm_state& where);

  /// A thread, or a coroutine (thread 0), waits for these; never 0. Idle: no needs.
  std::uint64_t begin_call(const char* call, std::span<const awaited> needs, bool all, const place& here, long thread);
  void end_call(std::uint64_t id) noexcept;
  /// This call, or wait for this request, may end by something that is not known.
  void doubt_call(std::uint64_t id) noexcept;
  void doubt_request(std::uint64_t id) noexcept;
  /// This rank makes no calls any more.
  void end_of_rank(const place& here);

  /// Changes with everything that is told.
  [[nodiscard]] std::uint64_t epoch() const;
  /// Threads that wait: in calls, or idle for work.
  [[nodiscard]] std::vector<long> waiting_threads() const;
  /// Whether this one waits in a call.
  [[nodiscard]] bool waits_in_call(long thread) const;
  [[nodiscard]] bool has_ended() const;

  /// What this rank waits for; no calls when one of them may end by something that is not known.
  struct standing {
    rank_report report;
    std::int64_t doubtful = 0;  ///< length of the longest send that might end without its receiver; 0: none
    /// The threads that wait, and how much time of a processor each had used when it began, in nanoseconds.
    std::vector<std::pair<long, std::int64_t>> threads;
  };
  [[nodiscard]] standing look() const;
  /// Whether each of these has been done, and the epoch at which this is so.
  [[nodiscard]] std::pair<std::uint64_t, std::vector<bool>> answer(std::span<const rank_question> asked) const;

 private:
  struct of_tag {
    std::uint64_t count = 0;
    long thread = 0;     // that counted
    bool mixed = false;  // more than one did
  };
  struct traffic {
    std::unordered_map<int, of_tag> tags;
    std::uint64_t total = 0;
    bool folded = false;  // too many tags

    void add(int tag, long thread);
    std::uint64_t count(int tag) const;
  };
  struct communicator {
    std::map<int, traffic> sent, received;  // by rank of world
    std::uint64_t collectives[2] = {0, 0};  // that block, that do not
    bool given_away = false;
  };
  struct entry {  // a thing awaited, with its numbers
    awaited what;
    int peer = 0;              // of world, or any_source
    std::uint64_t number = 0;  // of the send or collective; 0: not known
    std::uint64_t comm = 0;
    std::vector<std::uint64_t> had = {};  // of a probe: what was received when it began, see need_of
  };
  struct call_entry {
    const char* call;
    place here;
    long thread;
    bool all;
    std::vector<entry> needs;
    std::int64_t used;  // time of a processor, when it began
  };

  std::uint64_t next_id() noexcept { return ++last_id_; }
  entry entry_of(const awaited& what);
  void count_sent(const comm_state& where, int to, int tag);
  std::vector<std::int32_t> senders_of(const entry& one) const;
  std::vector<std::uint64_t> received_by(const entry& one) const;
  std::optional<rank_need> need_of(const entry& one) const;
  bool is_posted(const rank_question& asked) const;
  bool has_done(const rank_question& asked) const;
  std::string text_of(const call_entry& call) const;

  const int rank_, size_;
  mutable std::mutex mutex_;
  std::uint64_t epoch_ = 1, last_id_ = 0;
  std::unordered_map<std::uint64_t, communicator> communicators_;
  std::unordered_map<std::uint64_t, entry> requests_;
  std::map<std::uint64_t, call_entry> calls_;  // the oldest first
  std::optional<place> ended_;
};

/// Processor time that this thread has used, in nanoseconds.
std::int64_t used_by_this_thread() noexcept;
/// The same of another thread of this process; nothing when it is gone.
std::optional<std::int64_t> used_by(long thread) noexcept;
/// The system's number of this thread.
long this_thread_number() noexcept;

}  // namespace tutti::mpi::detail
