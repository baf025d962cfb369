#include <tutti/sync/lock_order.hpp>

#include <algorithm>

namespace tutti::detail {

std::string lock_order::add(std::uint64_t who, std::span<const deadlock_graph::hold> held, const void* inner,
                            const place& here, const deadlock_graph& names) {
  std::string report;
  for (const auto& outer : held) {
    if (outer.resource == inner) continue;  // recursive
    if (!names.is_lock(outer.resource)) continue;
    std::set<const void*> gates;
    for (const auto& other : held) {
      if (other.exclusive && other.resource != outer.resource && other.resource != inner) gates.insert(other.resource);
    }
    const auto [at, is_new] = inner_of_[outer.resource].try_emplace(inner);
    edge& taken = at->second;
    if (is_new) {
      taken = {who, outer.taken, here, std::move(gates)};
    } else {
      const bool one_more = taken.who != 0 && taken.who != who;
      const auto lost = std::erase_if(taken.gates, [&](const void* gate) { return !gates.contains(gate); });
      if (!one_more && lost == 0) continue;  // nothing new
      if (one_more) taken.who = 0;
    }
    path back;
    std::set<const void*> seen;
    if (!find_path(inner, outer.resource, seen, back) || !can_bite(taken, back)) continue;
    if (!reported_.insert(std::minmax(outer.resource, inner)).second) continue;
    report += "lock order: " + names.name_of(inner) + " was taken at " + to_string(here) + " while " +
              names.name_of(outer.resource) + ", taken at " + to_string(outer.taken) + ", was held";
    for (const auto& [lock, step] : back) {
      report += ";\n  elsewhere " + names.name_of(lock) + " at " + to_string(step->inner_taken) +
                " inside the one taken at " + to_string(step->outer_taken);
    }
    report += ".\n  Two that do this at the same time wait for one another; take them in one order, or with guard.";
  }
  return report;
}

// Depth first; `found` is the path without `from`.
bool lock_order::find_path(const void* from, const void* to, std::set<const void*>& seen, path& found) const {
  const auto inner = inner_of_.find(from);
  if (inner == inner_of_.end() || !seen.insert(from).second) return false;
  for (const auto& [lock, taken] : inner->second) {
    found.emplace_back(lock, &taken);
    if (lock == to || find_path(lock, to, seen, found)) return true;
    found.pop_back();
  }
  return false;
}

// Not when one party alone has done all of it, nor when a lock held each time keeps them apart.
bool lock_order::can_bite(const edge& first, const path& rest) {
  std::set<const void*> common = first.gates;
  bool several = first.who == 0;
  for (const auto& [lock, step] : rest) {
    several = several || step->who == 0 || step->who != first.who;
    std::erase_if(common, [s = step](const void* gate) { return !s->gates.contains(gate); });
  }
  return several && common.empty();
}

void lock_order::forget(const void* lock) noexcept {
  inner_of_.erase(lock);
  for (auto& [outer, inner] : inner_of_) inner.erase(lock);
  std::erase_if(reported_, [&](const auto& pair) { return pair.first == lock || pair.second == lock; });
}

}  // namespace tutti::detail
