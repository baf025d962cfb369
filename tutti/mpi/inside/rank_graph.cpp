#include <tutti/mpi/inside/rank_graph.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tutti::mpi::detail {
namespace {

rank_question question_about(const rank_need& need, std::size_t index, std::int32_t asker) {
  const bool shared = need.by == way_out::everyone;  // whoever asks, the answer is the same
  return {.by = need.by,
          .asker = shared ? -1 : asker,
          .communicator = need.communicator,
          .tag = need.tag,
          .number = need.by == way_out::message ? need.received[index] : need.number};
}

}  // namespace

// f(call, need, index of the rank in the need)
template <class F>
void rank_graph::for_each_edge(std::int32_t rank, F f) const {
  const std::vector<rank_call>& calls = at(rank).report.calls;
  for (std::size_t c = 0; c < calls.size(); ++c) {
    for (std::size_t n = 0; n < calls[c].needs.size(); ++n) {
      for (std::size_t i = 0; i < calls[c].needs[n].ranks.size(); ++i) f(c, n, i);
    }
  }
}

void rank_graph::set(std::int32_t rank, rank_report report) {
  node& changed = ranks_.at(static_cast<std::size_t>(rank));
  std::vector<std::vector<std::vector<bool>>> done;
  for (const rank_call& call : report.calls) {
    auto& of_call = done.emplace_back();
    for (const rank_need& need : call.needs) {
      for (const std::int32_t other : need.ranks) {
        if (other < 0 || static_cast<std::size_t>(other) >= ranks_.size()) {
          throw std::invalid_argument("rank_graph: rank " + std::to_string(rank) + " waits for rank " +
                                      std::to_string(other) + " of " + std::to_string(ranks_.size()));
        }
      }
      if (need.by == way_out::message && need.received.size() != need.ranks.size()) {
        throw std::invalid_argument("rank_graph: " + std::to_string(need.received.size()) + " counts for " +
                                    std::to_string(need.ranks.size()) + " ranks");
      }
      of_call.emplace_back(need.ranks.size(), false);
    }
  }
  changed.report = std::move(report);
  changed.done = std::move(done);
}

// Who waits in a collective has come to it, whatever it does now.
bool rank_graph::is_done(const node& one, std::size_t call, std::size_t need, std::size_t index) const {
  if (one.done[call][need][index]) return true;
  const rank_need& of_one = one.report.calls[call].needs[need];
  if (of_one.by != way_out::everyone) return false;
  const std::vector<rank_call>& others = of(of_one.ranks[index]).calls;
  return std::any_of(others.begin(), others.end(), [&](const rank_call& other) {
    return std::any_of(other.needs.begin(), other.needs.end(), [&](const rank_need& its) {
      return its.by == way_out::everyone && its.communicator == of_one.communicator && its.number == of_one.number;
    });
  });
}

bool rank_graph::can_go_on(const node& one, const std::vector<bool>& stuck) const {
  const auto can_come = [&](std::size_t c, std::size_t n) {
    const rank_need& need = one.report.calls[c].needs[n];
    const auto clear = [&](std::size_t i) {
      return !stuck[static_cast<std::size_t>(need.ranks[i])] || is_done(one, c, n, i);
    };
    for (std::size_t i = 0; i < need.ranks.size(); ++i) {
      if (clear(i) != (need.by == way_out::everyone)) return need.by != way_out::everyone;
    }
    return need.by == way_out::everyone;
  };
  for (std::size_t c = 0; c < one.report.calls.size(); ++c) {
    const rank_call& call = one.report.calls[c];
    bool ends = !call.any;
    for (std::size_t n = 0; n < call.needs.size(); ++n) {
      if (can_come(c, n) != ends) {
        ends = !ends;
        break;
      }
    }
    if (ends) return true;
  }
  return one.report.calls.empty();
}

std::vector<std::int32_t> rank_graph::stuck() const {
  std::vector<bool> lost(ranks_.size());
  for (std::size_t r = 0; r < ranks_.size(); ++r) lost[r] = !ranks_[r].report.calls.empty();
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      if (!lost[r] || !can_go_on(ranks_[r], lost)) continue;
      lost[r] = false;
      changed = true;
    }
  }
  std::vector<std::int32_t> found;
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    if (lost[r]) found.push_back(static_cast<std::int32_t>(r));
  }
  return found;
}

std::vector<rank_question> rank_graph::questions_for(std::int32_t rank, const std::vector<std::int32_t>& stuck) const {
  std::vector<rank_question> questions;
  for (const std::int32_t asker : stuck) {
    for_each_edge(asker, [&](std::size_t c, std::size_t n, std::size_t i) {
      const rank_need& need = of(asker).calls[c].needs[n];
      if (need.ranks[i] != rank) return;
      const rank_question one = question_about(need, i, asker);
      if (std::find(questions.begin(), questions.end(), one) == questions.end()) questions.push_back(one);
    });
  }
  return questions;
}

void rank_graph::hear(std::int32_t rank, const rank_question& done) {
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    const auto asker = static_cast<std::int32_t>(r);
    for_each_edge(asker, [&](std::size_t c, std::size_t n, std::size_t i) {
      const rank_need& need = ranks_[r].report.calls[c].needs[n];
      if (need.ranks[i] == rank && question_about(need, i, asker) == done) ranks_[r].done[c][n][i] = true;
    });
  }
}

void rank_graph::forget_answers() {
  for (node& one : ranks_) {
    for (auto& of_call : one.done) {
      for (auto& of_need : of_call) of_need.assign(of_need.size(), false);
    }
  }
}

// The strongly connected sets of stuck ranks from which no way leads to another one: Tarjan's algorithm gives such a
// set before all that lead to it. With its own stack, as there may be many ranks.
std::vector<std::vector<std::int32_t>> rank_graph::knots(const std::vector<std::int32_t>& stuck) const {
  std::vector<std::vector<std::int32_t>> next(ranks_.size());
  std::vector<bool> lost(ranks_.size());
  for (const std::int32_t r : stuck) lost[static_cast<std::size_t>(r)] = true;
  for (const std::int32_t r : stuck) {
    for_each_edge(r, [&](std::size_t c, std::size_t n, std::size_t i) {
      const std::int32_t to = of(r).calls[c].needs[n].ranks[i];
      if (lost[static_cast<std::size_t>(to)] && !is_done(at(r), c, n, i))
        next[static_cast<std::size_t>(r)].push_back(to);
    });
  }
  constexpr std::size_t unseen = ~std::size_t{0};
  std::vector<std::size_t> index(ranks_.size(), unseen), low(ranks_.size()), knot_of(ranks_.size(), unseen);
  std::vector<std::int32_t> open;
  std::vector<std::vector<std::int32_t>> found;
  std::size_t count = 0;
  for (const std::int32_t root : stuck) {
    std::vector<std::pair<std::int32_t, std::size_t>> path;  // a rank, and its next edge
    const auto enter = [&](std::int32_t r) {
      index[static_cast<std::size_t>(r)] = low[static_cast<std::size_t>(r)] = count++;
      open.push_back(r);
      path.emplace_back(r, 0);
    };
    if (index[static_cast<std::size_t>(root)] == unseen) enter(root);
    while (!path.empty()) {
      const auto r = static_cast<std::size_t>(path.back().first);
      if (path.back().second < next[r].size()) {
        const auto to = static_cast<std::size_t>(next[r][path.back().second++]);
        if (index[to] == unseen) {
          enter(static_cast<std::int32_t>(to));
        } else if (knot_of[to] == unseen) {
          low[r] = std::min(low[r], index[to]);
        }
        continue;
      }
      path.pop_back();
      if (!path.empty()) {
        const auto above = static_cast<std::size_t>(path.back().first);
        low[above] = std::min(low[above], low[r]);
      }
      if (low[r] != index[r]) continue;
      std::vector<std::int32_t> set;
      do {
        set.push_back(open.back());
        open.pop_back();
        knot_of[static_cast<std::size_t>(set.back())] = found.size();
      } while (set.back() != static_cast<std::int32_t>(r));
      std::sort(set.begin(), set.end());
      found.push_back(std::move(set));
    }
  }
  std::erase_if(found, [&](const std::vector<std::int32_t>& set) {
    return std::any_of(set.begin(), set.end(), [&](std::int32_t r) {
      const auto& ways = next[static_cast<std::size_t>(r)];
      return std::any_of(ways.begin(), ways.end(), [&](std::int32_t to) {
        return knot_of[static_cast<std::size_t>(to)] != knot_of[static_cast<std::size_t>(r)];
      });
    });
  });
  std::sort(found.begin(), found.end());
  return found;
}

std::string rank_graph::explain(const std::vector<std::int32_t>& stuck) const {
  std::string text;
  std::vector<std::int32_t> in_knots;
  for (const auto& knot : knots(stuck)) {
    text += knot.size() == 1 ? "rank " + ranks_text(knot) + " waits for itself, for ever:\n"
                             : "ranks " + ranks_text(knot) + " wait for each other, for ever:\n";
    for (const std::int32_t r : knot) {
      for (const rank_call& call : of(r).calls) {
        text +=
            "  rank " + std::to_string(r) + ": " + call.text + (call.where.empty() ? "" : " at " + call.where) + '\n';
      }
    }
    in_knots.insert(in_knots.end(), knot.begin(), knot.end());
  }
  std::sort(in_knots.begin(), in_knots.end());
  std::vector<std::int32_t> behind, blocked, running;
  for (std::int32_t r = 0; r < static_cast<std::int32_t>(ranks_.size()); ++r) {
    if (std::binary_search(in_knots.begin(), in_knots.end(), r)) continue;
    const bool waits = !of(r).calls.empty();
    (std::binary_search(stuck.begin(), stuck.end(), r) ? behind : waits ? blocked : running).push_back(r);
  }
  const auto add = [&](const std::vector<std::int32_t>& ranks, const char* one, const char* more) {
    if (ranks.empty()) return;
    text += (ranks.size() == 1 ? "rank " : "ranks ") + ranks_text(ranks) + (ranks.size() == 1 ? one : more) + '\n';
  };
  add(behind, " waits for them", " wait for them");
  add(blocked, " waits for others", " wait for others");
  add(running, " runs", " run");
  return text;
}

std::string ranks_text(const std::vector<std::int32_t>& sorted) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < sorted.size();) {
    std::size_t last = i;
    while (last + 1 < sorted.size() && sorted[last + 1] == sorted[last] + 1) ++last;
    if (last - i < 2) last = i;  // two neighbours are no range
    parts.push_back(std::to_string(sorted[i]) + (last == i ? "" : " to " + std::to_string(sorted[last])));
    i = last + 1;
  }
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == parts.size() ? " and " : ", ") + parts[i];
  }
  return text;
}

}  // namespace tutti::mpi::detail
