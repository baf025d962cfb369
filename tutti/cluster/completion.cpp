#include <tutti/cluster/completion.hpp>

#include <tutti/base/error.hpp>
#include <tutti/base/log.hpp>

#include <algorithm>
#include <exception>
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
    if (!alone || is_working_ || !waiting_.empty() || is_over_ || is_failing_.load(std::memory_order_relaxed)) {
      waiting_.push_back(std::move(one));
      if (waiting_.size() == 1 && !is_working_) changed_.notify_all();
      return;
    }
  }
  std::vector<ended_job> batch;
  batch.push_back(std::move(one));
  process(std::move(batch));
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
    process(std::move(batch));
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
void completion::keep_trying(const char* what, Step step) {
  constexpr std::chrono::milliseconds nap(20);
  for (auto pause = nap;; pause = std::min(2 * pause, std::chrono::milliseconds(1000))) {
    try {
      step();
      is_failing_.store(false, std::memory_order_relaxed);
      return;
    } catch (const broker_error& e) {
      if (!is_failing_.exchange(true)) log(log_level::warn, what, {{"error", e.what()}});
      if (gives_up_.load()) throw;
    }
    for (auto slept = std::chrono::milliseconds(0); slept < pause && !gives_up_.load(); slept += nap) {
      std::this_thread::sleep_for(nap);
    }
  }
}

void completion::process(std::vector<ended_job> batch) {
  if (batch.empty()) return;
  try {
    carry_out(batch);
  } catch (const broker_error& e) {
    let_go_ += batch.size();
    log(log_level::error, "tasks that have ended could not be settled; they go back to their queues",
        {{"tasks", batch.size()}, {"error", e.what()}});
  } catch (const std::exception& e) {
    if (batch.size() > 1) {  // whichever it was, the others are all right
      for (ended_job& one : batch) {
        std::vector<ended_job> alone;
        alone.push_back(std::move(one));
        queue_.leaving(1);  // counted again below
        in_hand_.fetch_add(1, std::memory_order_relaxed);
        process(std::move(alone));
      }
    } else {
      let_go_ += 1;
      log(log_level::error, "a task that has ended could not be settled",
          {{"task", batch.front().of->message.task}, {"id", batch.front().of->message.id}, {"error", e.what()}});
    }
  }
  in_hand_.fetch_sub(batch.size(), std::memory_order_relaxed);
  queue_.ended(batch.size());
}

void completion::note(const ending& what) {
  for (const auto& [group, size] : what.chords) {
    keep_trying("a chord could not be begun", [&] { store_->begin_chord(group, size); });
  }
  for (const auto& [group, text] : what.groups) {
    keep_trying("a group could not be noted", [&] { store_->store_group(group, text, rules_.expires); });
  }
}

// Each part may complete a chord, whose end may be a part of another chord.
void completion::count_parts(ended_job& one) {
  for (std::size_t i = 0; i < one.brings.parts.size(); ++i) {
    const chord_part part = one.brings.parts[i];
    std::optional<chord_parts> all;
    keep_trying("a part of a chord could not be counted",
                [&] { all = store_->add_chord_part(part.group, part.index, part.id, part.text); });
    if (!all) continue;
    ending more;
    end_chord(more, part, *all, place_of(one.of->message), rules_);
    note(more);
    if (!more.results.empty()) keep_trying("results could not be stored", [&] { store_->store(more.results); });
    one.brings.append(std::move(more));
  }
}

void completion::carry_out(std::vector<ended_job>& batch) {
  std::vector<stored_result> results;
  for (ended_job& one : batch) {
    note(one.brings);
    for (stored_result& r : one.brings.results) results.push_back(r);
  }
  if (!results.empty()) keep_trying("results could not be stored", [&] { store_->store(results); });
  std::vector<settlement> settled;
  std::vector<outgoing_message> sent;  // for those that are settled already
  for (ended_job& one : batch) {
    count_parts(one);
    if (one.of->acknowledged.load()) {
      for (outgoing_message& m : one.brings.follow) sent.push_back(m);
    } else {
      settled.push_back({one.of->from.tag, one.gives_back, one.brings.follow});
    }
  }
  if (!sent.empty()) keep_trying("messages could not be sent", [&] { broker_->publish(sent); });
  if (!settled.empty()) keep_trying("tasks that have ended could not be settled", [&] { consumer_.settle(settled); });
  for (const ended_job& one : batch) {
    for (const std::string& group : one.brings.complete) {
      keep_trying("a chord could not be ended", [&] { store_->end_chord(group); });
    }
  }
}

}  // namespace tutti::cluster
