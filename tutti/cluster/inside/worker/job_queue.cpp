#include <tutti/cluster/inside/worker/job_queue.hpp>

#include <algorithm>
#include <utility>

namespace tutti::cluster {
namespace {

// Bigger is sooner; without one it is soonest.
int rank(const job& one) noexcept { return one.from.priority.value_or(9); }

}  // namespace

job_queue::job_queue(std::size_t slots, std::optional<std::size_t> prefetch)
    : running_(slots), prefetch_(prefetch, slots) {}

// How many may wait or run. With no slot left, none is held for those that may come back.
std::size_t job_queue::most() const noexcept {
  return lost_ == running_.size() ? 0 : running_.size() - lost_ + prefetch_.get();
}

std::size_t job_queue::room() const noexcept {
  // While the broker takes nothing back, no more is taken from it than this.
  if (closed_ || leaving_ > 2 * (running_.size() + prefetch_.get()) + 64) return 0;
  const std::size_t held = waiting_.size() + busy_;
  return most() > held ? most() - held : 0;
}

// With a slot free it always is; else it is when half of what should wait has gone.
bool job_queue::is_room_worth_it() const noexcept {
  const std::size_t free = room();
  if (free == 0) return false;
  return busy_ + waiting_.size() + lost_ < running_.size() || 2 * waiting_.size() <= prefetch_.get();
}

void job_queue::tell_of_room() noexcept {
  if (wants_room_ && is_room_worth_it()) {
    wants_room_ = false;
    room_.notify_one();
  }
}

std::size_t job_queue::wait_for_room(std::chrono::nanoseconds patience) {
  const auto until = clock::now() + patience;
  std::unique_lock lock(mutex_);
  while (!is_room_worth_it() && !poked_) {
    wants_room_ = true;
    if (room_.wait_until(lock, until) == std::cv_status::timeout) break;
  }
  wants_room_ = false;
  poked_ = false;
  return is_room_worth_it() ? room() : 0;
}

void job_queue::poke() {
  const std::lock_guard lock(mutex_);
  poked_ = true;
  room_.notify_one();
}

void job_queue::insert(job_ptr one) {
  if (waiting_.empty()) last_taken_ = clock::now();
  if (waiting_.empty() || rank(*waiting_.back()) >= rank(*one)) {
    waiting_.push_back(std::move(one));
    return;
  }
  const auto before = std::ranges::upper_bound(waiting_, rank(*one), std::ranges::greater(),
                                               [](const job_ptr& other) { return rank(*other); });
  waiting_.insert(before, std::move(one));
}

void job_queue::put(std::vector<job_ptr> jobs) {
  if (jobs.empty()) return;
  const std::lock_guard lock(mutex_);
  const std::size_t wakes = std::min(jobs.size(), sleepers_);
  for (job_ptr& one : jobs) insert(std::move(one));
  for (std::size_t i = 0; i < wakes; ++i) work_.notify_one();
}

void job_queue::put_later(job_ptr one, clock::time_point when) {
  const std::lock_guard lock(mutex_);
  later_.emplace(when, std::move(one));
  work_.notify_one();  // it waits until then
}

void job_queue::release_due(clock::time_point now) {
  while (!later_.empty() && later_.begin()->first <= now) {
    insert(std::move(later_.begin()->second));
    later_.erase(later_.begin());
    if (sleepers_ > 0) work_.notify_one();
  }
}

std::vector<job_ptr> job_queue::take_stale(clock::time_point now) {
  const std::lock_guard lock(mutex_);
  std::size_t kept = waiting_.size();
  if (!waiting_.empty() && prefetch_.adapts() && now - last_taken_ >= prefetch_size::patience) {
    prefetch_.too_many();
    kept = 0;
  } else if (lost_ > 0) {
    kept = std::min(kept, most() - std::min(most(), busy_));
  }
  const auto first = waiting_.begin() + static_cast<std::ptrdiff_t>(kept);
  std::vector<job_ptr> stale(std::make_move_iterator(first), std::make_move_iterator(waiting_.end()));
  waiting_.erase(first, waiting_.end());
  return stale;
}

std::optional<job_queue::clock::time_point> job_queue::next_look(clock::time_point now) {
  const std::lock_guard lock(mutex_);
  release_due(now);  // those that run may take long; what is left is not due
  std::optional<clock::time_point> when;
  if (!waiting_.empty() && prefetch_.adapts()) when = last_taken_ + prefetch_size::patience;
  if (!later_.empty() && (!when || later_.begin()->first < *when)) when = later_.begin()->first;
  return when;
}

job_ptr job_queue::take(std::size_t slot, bool waits) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (closed_) return nullptr;
    if (!later_.empty()) release_due(clock::now());
    if (!waiting_.empty()) break;
    if (!waits) return nullptr;
    ++sleepers_;
    if (later_.empty()) {
      work_.wait(lock);
    } else {
      work_.wait_until(lock, clock::time_point(later_.begin()->first));  // a copy: it may go meanwhile
    }
    --sleepers_;
  }
  job_ptr one = std::move(waiting_.front());
  waiting_.pop_front();
  last_taken_ = clock::now();
  one->slot = slot;
  one->started = std::chrono::system_clock::now();
  one->stop = std::stop_source();
  running_[slot] = one;
  ++busy_;
  tell_of_room();
  if (!later_.empty() && sleepers_ > 0) work_.notify_one();  // somebody has to wait for its moment
  return one;
}

void job_queue::done(std::size_t slot, std::optional<std::chrono::nanoseconds> took) {
  job_ptr gone;
  const std::lock_guard lock(mutex_);
  gone = std::move(running_[slot]);
  running_[slot] = nullptr;
  --busy_;
  if (took) prefetch_.took(*took);
  tell_of_room();
}

void job_queue::lose_slot() {
  const std::lock_guard lock(mutex_);
  ++lost_;
  poked_ = true;  // what waits for it is stale
  room_.notify_one();
}

void job_queue::regain_slot() {
  const std::lock_guard lock(mutex_);
  --lost_;
  tell_of_room();
}

void job_queue::leaving(std::size_t n) {
  const std::lock_guard lock(mutex_);
  leaving_ += n;
}

void job_queue::ended(std::size_t n) {
  const std::lock_guard lock(mutex_);
  leaving_ -= n;
  tell_of_room();
}

bool job_queue::is_idle() {
  const std::lock_guard lock(mutex_);
  return waiting_.empty() && busy_ == 0 && leaving_ == 0;
}

std::vector<job_ptr> job_queue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  std::vector<job_ptr> left(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.end()));
  for (auto& [when, one] : later_) left.push_back(std::move(one));
  waiting_.clear();
  later_.clear();
  work_.notify_all();
  room_.notify_all();
  return left;
}

std::vector<job_ptr> job_queue::remove(const std::unordered_set<std::string>& ids) {
  std::vector<job_ptr> removed;
  const std::lock_guard lock(mutex_);
  const auto is_one = [&](const job_ptr& one) {
    if (!ids.contains(one->message.id)) return false;
    removed.push_back(one);
    return true;
  };
  std::erase_if(waiting_, is_one);
  std::erase_if(later_, [&](const auto& entry) { return is_one(entry.second); });
  tell_of_room();
  return removed;
}

std::vector<job_ptr> job_queue::waiting() {
  const std::lock_guard lock(mutex_);
  std::vector<job_ptr> all(waiting_.begin(), waiting_.end());
  for (const auto& [when, one] : later_) all.push_back(one);
  return all;
}

std::vector<job_ptr> job_queue::running() {
  const std::lock_guard lock(mutex_);
  std::vector<job_ptr> all;
  for (const job_ptr& one : running_) {
    if (one) all.push_back(one);
  }
  return all;
}

std::size_t job_queue::limit() {
  const std::lock_guard lock(mutex_);
  return running_.size() + prefetch_.get();
}

}  // namespace tutti::cluster
