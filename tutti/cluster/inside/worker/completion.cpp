#include <tutti/cluster/inside/worker/completion.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/envelope.hpp>
#include <tutti/cluster/inside/step_length.hpp>
#include <tutti/cluster/inside/worker/retried.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <charconv>
#include <exception>
#include <iterator>
#include <new>
#include <optional>
#include <utility>

namespace tutti::cluster {
namespace {

constexpr int most_refusals = 5;
constexpr std::chrono::seconds between_chores{1};
constexpr std::chrono::milliseconds longest_unsent_pause{500};

}  // namespace

int lost_attempts(const task_message& message) {
  const auto found = message.headers.find(lost_header);
  int n = 0;
  if (found != message.headers.end()) {
    const std::string& text = found->second;
    std::from_chars(text.data(), text.data() + text.size(), n);
  }
  return std::clamp(n, 0, 1'000'000);
}

completion::completion(std::shared_ptr<broker> to, std::shared_ptr<result_store> store, consumer& from,
                       job_queue& queue, ending_rules rules, std::function<void()> chore)
    : broker_(std::move(to)),
      store_(std::move(store)),
      consumer_(from),
      queue_(queue),
      rules_(std::move(rules)),
      chore_(std::move(chore)),
      thread_([this] { run(); }) {}

completion::~completion() { finish(std::chrono::nanoseconds::zero()); }

void completion::add(ended_job one, bool alone) noexcept {
  queue_.leaving(1);
  in_hand_.fetch_add(1);
  try {
    const std::lock_guard lock(mutex_);
    if (!is_over_ && (!alone || is_working_ || !waiting_.empty())) {
      waiting_.push_back(std::move(one));
      if (waiting_.size() == 1 && !is_working_) changed_.notify_all();
      return;
    }
  } catch (const std::bad_alloc&) {  // here and now, then
  }
  process({&one, 1}, tries::once);
}

void completion::want_chore() {
  const std::lock_guard lock(mutex_);
  if (!chore_at_) chore_at_ = std::max(clock::now(), last_chore_ + between_chores);
  changed_.notify_all();
}

void completion::run() {
  std::unique_lock lock(mutex_);
  const auto is_chore_due = [&] { return chore_at_ && (is_ending() || clock::now() >= *chore_at_); };
  const auto is_unsent_due = [&] { return !unsent_.empty() && clock::now() >= unsent_at_; };
  for (;;) {
    while (!is_over_ && waiting_.empty() && !is_chore_due() && !is_unsent_due()) {
      std::optional<clock::time_point> until = chore_at_;
      if (!unsent_.empty()) until = std::min(until.value_or(unsent_at_), unsent_at_);
      if (until) {
        changed_.wait_until(lock, *until);
      } else {
        changed_.wait(lock);
      }
    }
    const bool has_chore = is_chore_due(), has_unsent = is_unsent_due();
    if (waiting_.empty() && !has_chore && !has_unsent) return;
    is_working_ = true;
    std::vector<ended_job> batch = std::exchange(waiting_, {});
    std::vector<ended_job> late;
    if (has_unsent) late.swap(unsent_);
    if (has_chore) {
      chore_at_.reset();
      last_chore_ = clock::now();
    }
    lock.unlock();
    // Those to be settled first, in their order: they make room in a broker that is full.
    auto early = batch.begin();
    for (auto one = early; one != batch.end(); ++one)
      if (!one->of->acknowledged.load()) std::iter_swap(early++, one);
    process({batch.begin(), early}, tries::until_done);
    process({early, batch.end()}, tries::until_done);
    process(late, tries::until_done);
    batch.clear();
    late.clear();
    if (has_chore) do_chore();
    lock.lock();
    is_working_ = false;
    if (unsent_.empty()) unsent_pause_ = first_pause;
    if (waiting_.empty()) changed_.notify_all();  // finish() waits for that
  }
}

void completion::do_chore() noexcept {
  bool is_done = true;
  try {
    chore_();
  } catch (const std::exception& e) {
    is_done = false;
    log(log_level::warn, "the worker could not do what it was told, and tries again", {{"error", e.what()}});
  }
  const std::lock_guard lock(mutex_);
  if (!is_done && !chore_at_ && !is_ending()) chore_at_ = clock::now() + between_chores;
}

bool completion::acknowledge(const job& one) {
  const settlement settled{one.from.tag, false, {}};
  bool is_ours = false;
  in_hand_.fetch_add(1);
  try {
    // Not known, as an answer was lost: it would be nobody's more likely than somebody else's. Gone, but not to others:
    // a broker that was started anew may have forgotten it.
    is_ours = consumer_.settle({&settled, 1}).front() != settle_end::gone || consumer_.holds(one.from.tag);
  } catch (...) {
    in_hand_.fetch_sub(1);
    throw;
  }
  steps_.fetch_add(1);
  in_hand_.fetch_sub(1);
  return is_ours;
}

void completion::begin_ending(std::chrono::nanoseconds patience) noexcept {
  if (patience_.exchange(patience.count()) == without_end) {
    went_well_ = now();
    try {
      watch_.begin();
    } catch (const std::exception&) {  // no thread for timers: then it is given up at once
      gives_up_.store(true);
      consumer_.stop();
    }
  }
}

void completion::end_watch::due() noexcept {
  of_.look();
  if (!of_.gives_up_.load()) set(now() + std::chrono::milliseconds(20));
}

void completion::look() noexcept {
  const auto at = now();
  if (const std::uint64_t steps = steps_.load(); in_hand_.load() == 0 || steps != steps_seen_) {
    steps_seen_ = steps;
    went_well_ = at;
  } else if ((at - went_well_).count() >= patience_.load()) {
    gives_up_.store(true);
    consumer_.stop();
  }
}

void completion::finish(std::chrono::nanoseconds patience) {
  if (!thread_.joinable()) return;
  begin_ending(patience);
  {
    std::unique_lock lock(mutex_);
    changed_.notify_all();  // a chore does not wait any more
    changed_.wait(lock, [&] { return waiting_.empty() && unsent_.empty() && !is_working_ && !chore_at_; });
    is_over_ = true;
    changed_.notify_all();
  }
  thread_.join();
  watch_.cancel_and_wait();
}

template <class Step>
void completion::keep_trying(const char* what, tries how, Step step) {
  retried(step, [&](const broker_error& e, std::chrono::milliseconds pause) {
    if (dynamic_cast<const broker_refusal*>(&e) != nullptr) return false;  // it is there, and will never take this
    if (pause == first_pause) log(log_level::warn, what, {{"error", e.what()}});
    if (how == tries::once) return false;
    constexpr std::chrono::milliseconds nap(20);
    for (; pause.count() > 0 && !gives_up_.load(); pause -= nap) std::this_thread::sleep_for(nap);
    return !gives_up_.load();
  });
  steps_.fetch_add(1);
}

// All of them at once; when one cannot be settled, each by itself: whichever it was, the others are all right. In the
// end each is settled, handed over to the thread, or let go.
void completion::process(std::span<ended_job> batch, tries how) noexcept {
  if (batch.empty()) return;
  try {
    if (batch.size() == 1) {
      carry_out_or_replace(batch.front(), how);
    } else {
      carry_out(batch, how);
    }
  } catch (const std::exception& e) {
    const bool is_away =
        dynamic_cast<const broker_error*>(&e) != nullptr && dynamic_cast<const broker_refusal*>(&e) == nullptr;
    if (is_away && !gives_up_.load() && hand_over(batch, how, e.what())) return;
    if (!is_away && batch.size() > 1) {
      for (ended_job& one : batch) process({&one, 1}, how);
      return;
    }
    let_go(batch, e.what());
  }
  in_hand_.fetch_sub(batch.size());
  queue_.ended(batch.size());
}

// To the thread that has the time to try for longer; which does what cannot be sent again later, as it keeps nobody
// from the rest. False: no memory for that.
bool completion::hand_over(std::span<ended_job> batch, tries how, const char* why) noexcept {
  const bool is_unsent = how == tries::until_done;
  bool is_news = false;
  try {
    const std::lock_guard lock(mutex_);
    std::vector<ended_job>& to = is_unsent ? unsent_ : waiting_;
    const bool is_first = to.empty();
    to.insert(to.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
    if (is_unsent && is_first) {
      is_news = unsent_pause_ == first_pause;
      unsent_at_ = clock::now() + unsent_pause_;
      unsent_pause_ = std::min(2 * unsent_pause_, longest_unsent_pause);
    }
    changed_.notify_all();
  } catch (const std::bad_alloc&) {
    return false;
  }
  if (is_news) log(log_level::warn, "messages could not be sent; trying again", {{"error", why}});
  return true;
}

// As long as the broker is waited for they go back, or nobody would have them while this worker lives.
void completion::let_go(std::span<const ended_job> batch, const char* why) noexcept {
  for (const ended_job& one : batch) {
    if (one.is_settled) continue;
    const bool is_lost = one.of->acknowledged.load();
    log(log_level::error,
        is_lost ? "the end of a task that was acknowledged before could not be told"
                : "a task that has ended may not have been settled: then it goes back",
        {{"task", one.of->message.task}, {"id", one.of->message.id}, {"error", why}});
    if (!is_lost && !gives_up_.load()) {
      try {
        const settlement back{one.of->from.tag, true, {}};
        consumer_.settle({&back, 1});
        continue;
      } catch (const std::exception&) {  // then with the consumer's end
      }
    }
    ++let_go_;
  }
}

void completion::carry_out_or_replace(ended_job& one, tries how) {
  for (;;) {
    try {
      return carry_out({&one, 1}, how);
    } catch (const broker_refusal& e) {
      if (one.is_settled || one.refusals == most_refusals) throw;
      replace_refused(one, e.what());
    }
  }
}

// Its end is too much for the store or the broker: a small failure takes its place; if that cannot be had either, as
// little as there can be. What was wanted goes where somebody may look at it; when it cannot go there, it waits for
// better times in its own queue. When it is too long for that too, its head is put aside: it must come to an end.
void completion::replace_refused(ended_job& one, const std::string& why) {
  const job& of = *one.of;
  log(log_level::error, "how a task has ended is refused",
      {{"task", of.message.task}, {"id", of.message.id}, {"error", why}});
  const int refusals = one.refusals + 1;
  const bool is_stored = one.is_stored, is_settled = one.is_settled;
  one = ended_job{one.of};
  one.refusals = refusals;
  one.is_settled = is_settled;
  const task_settings* const settings = of.task != nullptr ? &of.task->settings : nullptr;
  if (refusals < 3) {
    end_without_success(one.brings, of.message, settings, state::failure, celery_failure("BackendStoreError", why),
                        rules_);
  }
  if (refusals == 2) {  // the results are what it does not take
    one.brings.results.clear();
    one.is_stored = is_stored;
  }
  const std::string& queue = of.from.queue;
  const std::string& text = of.from.text;
  const bool has_place = !of.acknowledged.load();
  const bool is_whole = refusals < most_refusals - 1;
  if (is_whole || has_place == (refusals == most_refusals)) {
    one.brings.follow.push_back(
        {queue + ".dead", dead_letter_of(text, "its end is refused: " + why, !is_whole), of.from.priority});
  } else if (has_place) {
    const bool may_run = text.size() <= detail::longest_message;  // else it would only become longer
    one.brings.follow.push_back(
        {queue, may_run ? with_header(text, lost_header, std::to_string(lost_attempts(of.message) + 1)) : text,
         of.from.priority, std::chrono::system_clock::now() + std::chrono::minutes(1)});
  }
}

void completion::note(const ending& what, tries how) {
  for (const auto& [group, size] : what.chords) {
    keep_trying("a chord could not be begun", how, [&] { store_->begin_chord(group, size); });
  }
}

// Each part may complete a chord, whose end may be a part of another chord.
void completion::count_parts(ended_job& one, tries how) {
  for (; one.counted < one.brings.parts.size(); ++one.counted) {
    const chord_part part = one.brings.parts[one.counted];
    std::optional<chord_parts> all;
    keep_trying("a part of a chord could not be counted", how,
                [&] { all = store_->add_chord_part(part.group, part.index, part.id, part.text); });
    if (!all) continue;
    ending more;
    end_chord(more, part, *all, place_of(one.of->message), rules_);
    note(more, how);
    if (!more.results.empty()) {
      keep_trying("results could not be stored", how, [&] { store_->store(more.results); });
    }
    one.brings.append(std::move(more));
  }
}

// Whatever is done of it is not done again when this is called once more, as far as that would do harm.
void completion::carry_out(std::span<ended_job> batch, tries how) {
  std::vector<stored_result> results;
  for (ended_job& one : batch) {
    if (one.is_stored) continue;
    note(one.brings, how);
    for (stored_result& r : one.brings.results) results.push_back(r);
  }
  if (!results.empty()) keep_trying("results could not be stored", how, [&] { store_->store(results); });
  for (ended_job& one : batch) one.is_stored = true;
  std::vector<settlement> settled;
  std::vector<ended_job*> settling;
  for (ended_job& one : batch) {
    count_parts(one, how);
    if (one.is_settled || one.of->acknowledged.load()) continue;
    settled.push_back({one.of->from.tag, one.gives_back, one.brings.follow});
    settling.push_back(&one);
  }
  send_followers(batch);
  for (ended_job& one : batch) one.is_settled = one.is_settled || one.of->acknowledged.load();
  if (!settled.empty()) {
    std::vector<settle_end> ends;
    keep_trying("tasks that have ended could not be settled", how, [&] { ends = consumer_.settle(settled); });
    for (std::size_t i = 0; i < settling.size(); ++i) {
      settling[i]->is_settled = true;
      settling[i]->is_others = ends.at(i) != settle_end::done;
    }
  }
  for (const ended_job& one : batch) {
    if (one.is_others) continue;  // who has the message sends the body, and needs the parts for that
    for (const std::string& group : one.brings.complete) {
      keep_trying("a chord could not be ended", how, [&] { store_->end_chord(group); });
    }
  }
}

// What comes after those that were acknowledged before they ran. Tried once: process() does not wait for a broker that
// is full. In the broker's own steps, each of which is there or is not: none is sent again when a later one is refused.
void completion::send_followers(std::span<ended_job> batch) {
  std::vector<outgoing_message> all;
  std::vector<ended_job*> whose;
  for (ended_job& one : batch) {
    if (one.is_settled || !one.of->acknowledged.load()) continue;
    all.insert(all.end(), one.brings.follow.begin() + static_cast<std::ptrdiff_t>(one.sent), one.brings.follow.end());
    whose.resize(all.size(), &one);
  }
  for (std::size_t at = 0; at < all.size();) {
    const auto left = std::span<const outgoing_message>(all).subspan(at);
    const std::size_t n = detail::step_length(left, most_sent_at_once, most_bytes_sent_at_once);
    broker_->publish(left.first(n));
    steps_.fetch_add(1);
    for (const std::size_t end = at + n; at < end; ++at) ++whose[at]->sent;
  }
}

}  // namespace tutti::cluster
