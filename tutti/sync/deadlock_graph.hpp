// deadlock_graph: who holds and who waits, and whether a wait can ever end.
//
// A party, a task or a thread, is blocked while it is in a wait that nobody has ended, that has no limit, and of which
// all who could end it are known. Everything else counts as running. A blocked party is lost when all who could end its
// wait are lost too; for a lock, or when several waits must end, one such is enough. The lost parties are found as the
// largest set that agrees with this rule: all that the new wait leads to count as lost at first, and are cleared until
// nothing changes. With one way out of every wait that is a cycle, with several a knot (Holt, "Some deadlock properties
// of computer systems", ACM Computing Surveys 4(3), 1972).
//
// No false alarm: a lost party has an open ticket, so nobody has ended its wait, and it cannot act. Were one of the
// lost woken later, the first of them would have been woken by one that runs, and so is not lost, or by nobody who is
// known to be able to.
#pragma once
#include <tutti/core/wait_graph.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace tutti::detail {

/// Not thread-safe.
class deadlock_graph {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  struct hold {
    const void* resource;
    place taken;
    bool exclusive;  ///< nobody else can hold it now
  };
  struct waiting {
    const wait_observer::wait* wait;
    time_point since;
    bool reported = false;
  };
  struct party {
    std::string name;
    std::uint64_t number;  ///< no other party ever had it
    std::vector<hold> holds;
    std::vector<waiting> waits;  ///< the innermost last
  };

  void add_resource(const wait_target& made, std::size_t total);
  void remove_resource(const void* lost) noexcept;
  void add_hold(const wait_party& who, const wait_target& resource, const place& here);
  void remove_hold(const void* who, const void* resource) noexcept;
  /// `who` is no more; what it holds is in unknown hands.
  void end_party(const void* who) noexcept;
  void add_wait(const wait_observer::wait& wait, time_point now);
  void remove_wait(const wait_observer::wait& wait) noexcept;

  /// Why the innermost wait of `who` can never end, for people; empty if it can.
  std::string explain_deadlock(const void* who, time_point now = {}) const;
  /// What those have waited for, and whom, that have waited since before `limit`; each wait once.
  std::vector<std::string> starving(time_point before, time_point now);

  /// The party while it holds or waits; null otherwise.
  const party* find(const void* who) const noexcept;
  /// Whether it is waited for until all who hold it let go.
  bool is_lock(const void* of) const noexcept;
  /// `mutex "accounts"`.
  std::string name_of(const void* of) const;

 private:
  struct holder {
    const void* who;  // null: unknown
    place taken;
    bool shared;
  };
  struct resource {
    std::string text;  // `mutex "accounts"`
    wait_rule rule;
    std::size_t total;
    std::vector<holder> holders;
  };
  using parties = std::vector<const void*>;

  party& enter(const wait_party& who);
  void leave_if_idle(const void* who) noexcept;
  const waiting* blocked(const void* who) const noexcept;
  parties lost_with(const void* who) const;
  template <class Lost>
  bool is_lost(const waiting& waits, const Lost& lost) const;
  std::string describe(const party& what, time_point now) const;
  std::string holders_text(const wait_target& target) const;
  std::string shown(const party& one) const;

  void forget(std::unordered_map<const void*, party>::iterator who) noexcept;

  std::unordered_map<const void*, party> parties_;
  std::unordered_map<std::string, std::size_t> namesakes_;  // how many parties have a name
  std::unordered_map<const void*, resource> resources_;
};

/// The party's name for people: `task "parse"`, `thread "main" (1234)`. For threads on that thread.
std::string party_text(const wait_party& who);

}  // namespace tutti::detail
