// rank_graph: which ranks are blocked, for whom, and which of them can never go on.
//
// A rank is stuck when none of its calls can end. A call waits for one thing (a message, a receiver, the others at a
// collective) or for several, any or all of them; each thing names the ranks that can bring it about. All ranks that
// have reported themselves blocked count as stuck at first, and are cleared, until nothing changes, when one of their
// calls can end by ranks that are not. What is left is the largest set that agrees with the rule: whatever its members
// wait for, only members could do. With one way out of each call that is a cycle, with several a knot.
//
// No false alarm: a rank of which nothing is known runs, and who runs can do anything. A thing that has come about
// already, a message on its way or a receive that is posted, clears who waits for it; those who must know are asked
// (questions_for, hear). The reports must all hold at one moment: see rank_watch.hpp.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tutti::mpi::detail {

/// What ends a wait.
enum class way_out : std::uint8_t {
  message,   ///< one from any of the ranks named
  receiver,  ///< the one rank named, which receives it
  everyone,  ///< all ranks named, which arrive at the same collective call
};

/// Stands for all tags.
inline constexpr std::int32_t any_tag_at_all = -1;
/// The communicator of one collective call that all ranks of the world make last: the end of MPI.
inline constexpr std::uint64_t end_of_mpi = ~std::uint64_t{0};

/// One thing that a call waits for. Ranks are those of the world.
struct rank_need {
  way_out by = way_out::message;
  std::uint64_t communicator = 0;
  std::int32_t tag = any_tag_at_all;
  std::uint64_t number = 0;         ///< of this send among those to its receiver and tag, or of this collective; from 1
  std::vector<std::int32_t> ranks;  ///< who can bring it about
  std::vector<std::uint64_t> received;  ///< message: how many that would do the rank has had from each of `ranks`
};

/// A call in which a thread of a rank is blocked, or a request that a coroutine awaits.
struct rank_call {
  std::string text;   ///< `recv from 1, tag 7, on world`
  std::string where;  ///< `file:line (function)`
  bool any = false;   ///< one of the needs is enough; else all must come
  std::vector<rank_need> needs;
};

/// What a rank says of itself.
struct rank_report {
  std::uint64_t epoch = 0;       ///< another one whenever it has done anything
  std::vector<rank_call> calls;  ///< none: it runs
};

/// What a rank is asked: whether it has already done what `asker` waits for.
struct rank_question {
  way_out by = way_out::message;
  std::int32_t asker = 0;  ///< -1 where it does not matter
  std::uint64_t communicator = 0;
  std::int32_t tag = any_tag_at_all;
  std::uint64_t number = 0;  ///< message: how many the asker has had; else as in rank_need

  friend bool operator==(const rank_question&, const rank_question&) = default;
};

/// Not thread-safe.
class rank_graph {
 public:
  /// All of `size` ranks run.
  explicit rank_graph(std::size_t size) : ranks_(size) {}

  std::size_t size() const noexcept { return ranks_.size(); }
  /// What was heard from that rank before, also as answers to its questions, holds no longer. Throws
  /// std::invalid_argument when it names ranks that are not there.
  void set(std::int32_t rank, rank_report report);
  const rank_report& of(std::int32_t rank) const { return at(rank).report; }

  /// Those that cannot go on, as far as is known; sorted.
  std::vector<std::int32_t> stuck() const;
  /// What `rank` must be asked before `stuck` is believed; none twice.
  std::vector<rank_question> questions_for(std::int32_t rank, const std::vector<std::int32_t>& stuck) const;
  /// `rank` says that it has done what this question is about.
  void hear(std::int32_t rank, const rank_question& done);
  /// All that was heard so: it may not be so any more.
  void forget_answers();

  /// Why the ranks in `stuck` cannot go on, for people: the knots with their calls, then how the others stand.
  std::string explain(const std::vector<std::int32_t>& stuck) const;

 private:
  struct node {
    rank_report report;
    std::vector<std::vector<std::vector<bool>>> done;  // by call, need and rank of the need
  };
  const node& at(std::int32_t rank) const { return ranks_.at(static_cast<std::size_t>(rank)); }
  template <class F>
  void for_each_edge(std::int32_t rank, F f) const;
  bool is_done(const node& one, std::size_t call, std::size_t need, std::size_t index) const;
  bool can_go_on(const node& one, const std::vector<bool>& stuck) const;
  std::vector<std::vector<std::int32_t>> knots(const std::vector<std::int32_t>& stuck) const;

  std::vector<node> ranks_;
};

/// "1", "1 and 2", "0 to 3 and 7".
std::string ranks_text(const std::vector<std::int32_t>& sorted);

}  // namespace tutti::mpi::detail
