// rank_judge: decides, from what the ranks say, that some of them will never go on. Lives on rank 0. No MPI in here.
//
// Reports arrive at different times, so what they say together need not have been true at any one moment. So whoever
// looks stuck is asked: whether it has stood still since it made its report, and whether what the others wait for has
// been done. If all say that they stood still, then all of them did at the moment of the first question, which is after
// the last report and before the first answer; and all counts belong to that moment.
#pragma once
#include <tutti/mpi/inside/rank_graph.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tutti::mpi::detail {

/// From a rank that blocks, or does no longer; its report's epoch counts them.
struct rank_news {
  rank_report report;
  bool is_doubtful = false;  ///< it waits in sends that may end without their receivers,
  bool has_worked = false;   ///< and all of its threads that wait have tried for a while
};

struct rank_ask {
  std::uint64_t round = 0;
  std::vector<rank_question> questions;
};

struct rank_answer {
  std::uint64_t round = 0;
  std::uint64_t epoch = 0;         ///< of the report since which it stands still; 0: it does not
  std::vector<std::uint8_t> done;  ///< for each question
};

/// Not thread-safe.
class rank_judge {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// `late`: how long others may wait in a collective for those who run.
  rank_judge(std::size_t ranks, std::chrono::nanoseconds late) : graph_(ranks), late_(late), doubts_(ranks) {}

  void hear(std::int32_t rank, rank_news news, time_point now);
  void hear(std::int32_t rank, const rank_answer& answer);
  /// Who is to be asked what.
  std::vector<std::pair<std::int32_t, rank_ask>> ask(time_point now);

  /// The deadlock, for people, once there is one.
  const std::optional<std::string>& verdict() const noexcept { return verdict_; }
  /// Collectives that wait for ranks that run, each told once. Empties the list.
  std::vector<std::string> take_warnings() { return std::exchange(warnings_, {}); }

 private:
  using collective = std::pair<std::uint64_t, std::uint64_t>;  // communicator, number
  struct waited_for {
    time_point since;
    bool told = false;
  };
  struct round {
    std::vector<std::int32_t> stuck;    // empty: it is about the collective
    std::vector<std::uint64_t> epochs;  // of their reports
    std::optional<collective> late;
    std::map<std::int32_t, std::vector<rank_question>> open;
    std::vector<std::pair<std::int32_t, rank_question>> done;
    std::vector<std::int32_t> missing;
    bool failed = false;
  };

  bool is_sure(const std::vector<std::int32_t>& stuck) const;
  void note_collectives(time_point now);
  std::vector<std::pair<std::int32_t, rank_ask>> begin(round made);
  void finish();
  void warn(const collective& which, const std::vector<std::int32_t>& missing);

  rank_graph graph_;
  const std::chrono::nanoseconds late_;
  struct doubt {
    bool is_doubtful = false;
    bool has_worked = false;
  };
  std::vector<doubt> doubts_;  // by rank
  std::map<collective, waited_for> collectives_;
  bool changed_ = false;
  std::uint64_t rounds_ = 0;
  std::optional<round> round_;
  std::optional<std::string> verdict_;
  std::vector<std::string> warnings_;
};

}  // namespace tutti::mpi::detail
