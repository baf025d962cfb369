// lock_order: in which orders locks are taken one inside another, and whether two orders could meet in a deadlock.
//
// An edge a -> b says: somebody took b while holding a. A cycle of edges by different parties, under no common lock, is
// a deadlock that has not happened yet (Havelund, "Using runtime analysis to guide model checking of Java programs",
// SPIN 2000, called GoodLock).
#pragma once
#include <tutti/sync/deadlock_graph.hpp>

#include <cstdint>
#include <set>
#include <span>

namespace tutti::detail {

/// Not thread-safe.
class lock_order {
 public:
  /// `who`, a number other than 0 for each party that ever was, took `inner` at `here` while it held `held`, oldest
  /// first. Returns a report for people when that is the other order than one seen before; once for each pair. `names`
  /// gives the locks' names.
  std::string add(std::uint64_t who, std::span<const deadlock_graph::hold> held, const void* inner, const place& here,
                  const deadlock_graph& names);
  void forget(const void* lock) noexcept;

 private:
  struct edge {
    std::uint64_t who;  // 0: several
    place outer_taken, inner_taken;
    std::set<const void*> gates;  // held each time
  };
  using path = std::vector<std::pair<const void*, const edge*>>;
  bool find_path(const void* from, const void* to, std::set<const void*>& seen, path& found) const;
  static bool can_bite(const edge& first, const path& rest);

  std::unordered_map<const void*, std::unordered_map<const void*, edge>> inner_of_;
  std::set<std::pair<const void*, const void*>> reported_;
};

}  // namespace tutti::detail
