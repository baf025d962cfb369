#include <tutti/mpi/inside/rank_judge.hpp>

#include <algorithm>
#include <sstream>

namespace tutti::mpi::detail {
namespace {

std::string seconds_text(std::chrono::nanoseconds time) {
  std::ostringstream text;
  text << std::chrono::duration<double>(time).count();
  return text.str();
}

}  // namespace

void rank_judge::hear(std::int32_t rank, rank_news news, time_point now) {
  doubts_.at(static_cast<std::size_t>(rank)) = {news.is_doubtful, news.has_worked};
  graph_.set(rank, std::move(news.report));
  changed_ = true;
  note_collectives(now);
}

// Since when somebody waits in each collective.
void rank_judge::note_collectives(time_point now) {
  std::map<collective, waited_for> waited;
  for (std::size_t r = 0; r < graph_.size(); ++r) {
    for (const rank_call& call : graph_.of(static_cast<std::int32_t>(r)).calls) {
      for (const rank_need& need : call.needs) {
        if (need.by != way_out::everyone || need.communicator == end_of_mpi) continue;
        const collective which(need.communicator, need.number);
        const auto before = collectives_.find(which);
        waited.emplace(which, before == collectives_.end() ? waited_for{.since = now} : before->second);
      }
    }
  }
  collectives_ = std::move(waited);
}

// A send that needs no receiver ends when its thread gets the time to do it, and the receiver's to make room.
bool rank_judge::is_sure(const std::vector<std::int32_t>& stuck) const {
  const auto of = [&](std::int32_t rank) { return doubts_[static_cast<std::size_t>(rank)]; };
  return std::none_of(stuck.begin(), stuck.end(), [&](std::int32_t r) { return of(r).is_doubtful; }) ||
         std::all_of(stuck.begin(), stuck.end(), [&](std::int32_t r) { return of(r).has_worked; });
}

std::vector<std::pair<std::int32_t, rank_ask>> rank_judge::ask(time_point now) {
  if (round_ || verdict_) return {};
  if (std::exchange(changed_, false)) {
    graph_.forget_answers();
    round made;
    made.stuck = graph_.stuck();
    if (!made.stuck.empty() && is_sure(made.stuck)) {
      for (const std::int32_t r : made.stuck) {
        made.open.emplace(r, graph_.questions_for(r, made.stuck));
        made.epochs.push_back(graph_.of(r).epoch);
      }
      return begin(std::move(made));
    }
  }
  for (auto& [which, waited] : collectives_) {
    if (waited.told || now - waited.since < late_) continue;
    waited.told = true;
    round made;
    made.late = which;
    const rank_question arrived{.by = way_out::everyone,
                                .asker = -1,
                                .communicator = which.first,
                                .tag = any_tag_at_all,
                                .number = which.second};
    for (std::size_t r = 0; r < graph_.size(); ++r) {
      for (const rank_call& call : graph_.of(static_cast<std::int32_t>(r)).calls) {
        for (const rank_need& need : call.needs) {
          if (need.by != way_out::everyone || collective(need.communicator, need.number) != which) continue;
          for (const std::int32_t other : need.ranks) made.open[other] = {arrived};
        }
      }
    }
    return begin(std::move(made));
  }
  return {};
}

std::vector<std::pair<std::int32_t, rank_ask>> rank_judge::begin(round made) {
  std::vector<std::pair<std::int32_t, rank_ask>> asks;
  ++rounds_;
  asks.reserve(made.open.size());
  for (const auto& [rank, questions] : made.open) asks.push_back({rank, {rounds_, questions}});
  round_ = std::move(made);
  return asks;
}

void rank_judge::hear(std::int32_t rank, const rank_answer& answer) {
  if (!round_ || answer.round != rounds_) return;
  const auto asked = round_->open.find(rank);
  if (asked == round_->open.end()) return;
  if (answer.done.size() != asked->second.size()) {
    round_->failed = true;
  } else {
    for (std::size_t i = 0; i < answer.done.size(); ++i) {
      if (answer.done[i] != 0) {
        round_->done.emplace_back(rank, asked->second[i]);
      } else if (round_->late) {
        round_->missing.push_back(rank);
      }
    }
  }
  if (!round_->late) {
    const auto at = std::lower_bound(round_->stuck.begin(), round_->stuck.end(), rank) - round_->stuck.begin();
    if (answer.epoch != round_->epochs[static_cast<std::size_t>(at)]) round_->failed = true;
  }
  round_->open.erase(asked);
  if (round_->open.empty()) finish();
}

void rank_judge::finish() {
  const round over = std::move(*round_);
  round_.reset();
  if (over.failed) return;  // who has moved will say so
  if (over.late) {
    warn(*over.late, over.missing);
    return;
  }
  for (std::size_t i = 0; i < over.stuck.size(); ++i) {
    if (graph_.of(over.stuck[i]).epoch != over.epochs[i]) return;  // it has moved after its answer
  }
  for (const auto& [rank, done] : over.done) graph_.hear(rank, done);
  const auto stuck = graph_.stuck();
  // Only those that were asked: what was heard since may be of another moment.
  if (!stuck.empty() && std::includes(over.stuck.begin(), over.stuck.end(), stuck.begin(), stuck.end())) {
    verdict_ = graph_.explain(stuck);
  }
}

void rank_judge::warn(const collective& which, const std::vector<std::int32_t>& missing) {
  if (missing.empty()) return;  // all are there: it is a long one
  std::string text;
  for (std::size_t r = 0; r < graph_.size(); ++r) {
    const auto rank = static_cast<std::int32_t>(r);
    for (const rank_call& call : graph_.of(rank).calls) {
      const bool waits = std::any_of(call.needs.begin(), call.needs.end(), [&](const rank_need& need) {
        return need.by == way_out::everyone && collective(need.communicator, need.number) == which;
      });
      if (waits) text += "  rank " + std::to_string(rank) + ": " + call.text + " at " + call.where + '\n';
    }
  }
  if (text.empty()) return;  // it has ended meanwhile
  text = (missing.size() == 1 ? "rank " : "ranks ") + ranks_text(missing) + (missing.size() == 1 ? " has" : " have") +
         " not come to a collective call for " + seconds_text(late_) + " s, where others wait:\n" + text;
  for (const std::int32_t r : missing) {
    const std::vector<rank_call>& calls = graph_.of(r).calls;
    if (calls.empty()) text += "  rank " + std::to_string(r) + " runs\n";
    for (const rank_call& call : calls) {
      text += "  rank " + std::to_string(r) + ": " + call.text + " at " + call.where + '\n';
    }
  }
  warnings_.push_back(std::move(text));
}

}  // namespace tutti::mpi::detail
