#include <tutti/cluster/inside/worker/completion.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <exception>
#include <iterator>
#include <optional>
#include <utility>

namespace tutti::cluster {

completion::completion(std::shared_ptr<broker> to, std::shared_ptr<result_store> store, consumer& from,
                       job_queue& queue, ending_rules rules)
    : broker_(std::move(to)),
      store_(std::move(store)),
      consumer_(from),
      queue_(queue),
      rules_(std::move(rules)),
      thread_([this] { run(); }) {}

completion::~completion() { finish(std::chrono::nanoseconds::zero()); }

void completion::add(ended_job one, bool alone) {
  queue_.leaving(1);
  in_hand_.fetch_add(1, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    if (!alone || is_working_ || !waiting_.empty() || is_over_ || is_failing_.load(std::memory_order_relaxed) ||
        !consumer_.connected()) {
      waiting_.push_back(std::move(one));
      if (waiting_.size() == 1 && !is_working_) changed_.notify_all();
      return;
    }
  }
  std::vector<ended_job> batch;
  batch.push_back(std::move(one));
  process(std::move(batch), tries::once);
}

void completion::add_chore(std::function<void()> chore) {
  const std::lock_guard lock(mutex_);
  chores_.push_back(std::move(chore));
  changed_.notify_all();
}

void completion::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_over_ || !waiting_.empty() || !chores_.empty(); });
    if (waiting_.empty() && chores_.empty()) return;
    is_working_ = true;
    std::vector<ended_job> batch = std::exchange(waiting_, {});
    std::deque<std::function<void()>> chores = std::exchange(chores_, {});
    lock.unlock();
    process(std::move(batch), tries::until_done);
    for (const auto& chore : chores) {
      try {
        chore();
      } catch (const std::exception& e) {
        log(log_level::warn, "the worker could not do what it was told", {{"error", e.what()}});
      }
    }
    lock.lock();
    is_working_ = false;
    if (waiting_.empty()) changed_.notify_all();  // finish() waits for that
  }
}

void completion::acknowledge(const job& one) {
  const settlement settled{one.from.tag, false, {}};
  in_hand_.fetch_add(1);
  try {
    consumer_.settle({&settled, 1});
  } catch (...) {
    in_hand_.fetch_sub(1);
    throw;
  }
  in_hand_.fetch_sub(1);
}

void completion::begin_ending(std::chrono::nanoseconds patience) noexcept {
  if (patience_.exchange(patience.count()) == std::numeric_limits<std::int64_t>::max()) {
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
  if (in_hand_.load() == 0 || (!is_failing_.load() && consumer_.connected())) {
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
    changed_.wait(lock, [&] { return waiting_.empty() && !is_working_ && chores_.empty(); });
    is_over_ = true;
    changed_.notify_all();
  }
  thread_.join();
  watch_.cancel_and_wait();
}

template <class Step>
void completion::keep_trying(const char* what, tries how, Step step) {
  constexpr std::chrono::milliseconds nap(20);
  for (auto pause = nap;; pause = std::min(2 * pause, std::chrono::milliseconds(1000))) {
    try {
      step();
      is_failing_.store(false, std::memory_order_relaxed);
      return;
    } catch (const broker_refusal&) {  // it is there, and will never take this
      is_failing_.store(false, std::memory_order_relaxed);
      throw;
    } catch (const broker_error& e) {
      if (!is_failing_.exchange(true)) log(log_level::warn, what, {{"error", e.what()}});
      if (how == tries::once || gives_up_.load()) throw;
    }
    for (auto slept = std::chrono::milliseconds(0); slept < pause && !gives_up_.load(); slept += nap) {
      std::this_thread::sleep_for(nap);
    }
  }
}

void completion::process(std::vector<ended_job> batch, tries how) {
  if (batch.empty()) return;
  const std::size_t size = batch.size();
  constexpr int most_refusals = 3;
  std::string wrong;
  for (bool is_refused = true; is_refused;) {
    is_refused = false;
    try {
      carry_out(batch, how);
    } catch (const broker_refusal& e) {
      wrong = e.what();
      is_refused = size == 1 && !batch.front().is_settled && batch.front().refusals < most_refusals;
      if (is_refused) replace_refused(batch.front(), wrong);
    } catch (const broker_error& e) {
      if (how == tries::once && !gives_up_.load()) {  // somebody else has the time to try for longer
        const std::lock_guard lock(mutex_);
        waiting_.insert(waiting_.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
        changed_.notify_all();
        return;
      }
      let_go(batch, e.what());
      in_hand_.fetch_sub(size, std::memory_order_relaxed);
      queue_.ended(size);
      return;
    } catch (const std::exception& e) {
      wrong = e.what();
    }
    if (!is_refused && !wrong.empty() && size == 1 && !batch.front().is_settled) let_go(batch, wrong);
  }
  if (!wrong.empty() && size > 1) {  // whichever it was, the others are all right
    for (ended_job& one : batch) {
      std::vector<ended_job> alone;
      alone.push_back(std::move(one));
      process(std::move(alone), how);
    }
    return;
  }
  in_hand_.fetch_sub(size, std::memory_order_relaxed);
  queue_.ended(size);
}

void completion::let_go(const std::vector<ended_job>& batch, const std::string& why) {
  let_go_ += batch.size();
  const auto lost = std::ranges::count_if(batch, [](const ended_job& one) { return one.of->acknowledged.load(); });
  log(log_level::error, "tasks that have ended could not be settled: they go back, but for those acknowledged early",
      {{"tasks", batch.size()},
       {"acknowledged", lost},
       {"task", batch.front().of->message.task},
       {"id", batch.front().of->message.id},
       {"error", why}});
}

// Its end is too much for the store or the broker: a small failure takes its place; if that cannot be had either, as
// little as there can be. What was wanted goes where somebody may look at it.
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
  one.brings.follow.push_back({of.from.queue + ".dead",
                               with_header(of.from.text, "x-death-reason", json_string("its end is refused: " + why)),
                               of.from.priority});
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
void completion::carry_out(std::vector<ended_job>& batch, tries how) {
  std::vector<stored_result> results;
  for (ended_job& one : batch) {
    if (one.is_stored) continue;
    note(one.brings, how);
    for (stored_result& r : one.brings.results) results.push_back(r);
  }
  if (!results.empty()) keep_trying("results could not be stored", how, [&] { store_->store(results); });
  for (ended_job& one : batch) one.is_stored = true;
  std::vector<settlement> settled;
  std::vector<outgoing_message> sent;  // for those that are settled already
  for (ended_job& one : batch) {
    count_parts(one, how);
    if (one.is_settled) continue;
    if (one.of->acknowledged.load()) {
      for (outgoing_message& m : one.brings.follow) sent.push_back(m);
    } else {
      settled.push_back({one.of->from.tag, one.gives_back, one.brings.follow});
    }
  }
  if (!sent.empty()) keep_trying("messages could not be sent", how, [&] { broker_->publish(sent); });
  for (ended_job& one : batch) one.is_settled = one.is_settled || one.of->acknowledged.load();
  if (!settled.empty()) {
    keep_trying("tasks that have ended could not be settled", how, [&] { consumer_.settle(settled); });
  }
  for (ended_job& one : batch) one.is_settled = true;
  for (const ended_job& one : batch) {
    for (const std::string& group : one.brings.complete) {
      keep_trying("a chord could not be ended", how, [&] { store_->end_chord(group); });
    }
  }
}

}  // namespace tutti::cluster
