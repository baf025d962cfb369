// clock: the machine's clock, the virtual one, and who wants to know that time moved.
#include <tutti/base/at_fork.hpp>
#include <tutti/base/clock.hpp>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace tutti {
namespace detail {

clock_source& machine_clock() noexcept { return process_wide<steady_clock_source>(); }

struct clock_subscriptions {
  // One subscriber, shared by the list and the calls under way.
  struct subscriber {
    std::unique_ptr<clock_source::listener> listener;
    std::vector<std::thread::id> runners;  // a thread per call under way
    bool gone = false;
  };

  std::mutex mutex;
  std::condition_variable returned;
  std::map<std::uint64_t, std::shared_ptr<subscriber>> list;
  std::uint64_t last_id = 0;
};

}  // namespace detail

using detail::clock_subscriptions;

clock_source::subscription clock_source::add(std::unique_ptr<listener> listener) {
  auto entry = std::make_shared<clock_subscriptions::subscriber>();
  entry->listener = std::move(listener);
  auto& all = process_wide<clock_subscriptions>();
  const std::lock_guard guard(all.mutex);
  all.list.emplace(++all.last_id, std::move(entry));
  return all.last_id;
}

void clock_source::unsubscribe(subscription id) noexcept {
  std::shared_ptr<clock_subscriptions::subscriber> entry;  // destroyed after the lock: the callable is the user's
  auto& all = process_wide<clock_subscriptions>();
  std::unique_lock guard(all.mutex);
  const auto found = all.list.find(id);
  if (found == all.list.end()) return;
  entry = std::move(found->second);
  all.list.erase(found);
  entry->gone = true;
  const auto self = std::this_thread::get_id();  // from inside the call: it must not wait for itself
  all.returned.wait(guard, [&] {
    return std::all_of(entry->runners.begin(), entry->runners.end(), [&](auto runner) { return runner == self; });
  });
}

void clock_source::notify(time_point now) {
  auto& all = process_wide<clock_subscriptions>();
  std::vector<std::shared_ptr<clock_subscriptions::subscriber>> called;
  {
    const std::lock_guard guard(all.mutex);
    for (const auto& [id, entry] : all.list) called.push_back(entry);
  }
  for (const auto& entry : called) {
    {
      const std::lock_guard guard(all.mutex);
      if (entry->gone) continue;
      entry->runners.push_back(std::this_thread::get_id());
    }
    entry->listener->moved(now);  // without the lock: it may take its own
    const std::lock_guard guard(all.mutex);
    entry->runners.erase(std::find(entry->runners.begin(), entry->runners.end(), std::this_thread::get_id()));
    all.returned.notify_all();
  }
}

class virtual_clock::source final : public clock_source {
 public:
  source(time_point start, moves how)
      : moves_when_idle_(how == when_idle), ticks_(start.time_since_epoch().count()), aim_(ticks_.load()) {}
  [[nodiscard]] time_point now() const noexcept override {
    // acquire: who reads the new time also sees what was written before it was moved.
    return time_point(duration(ticks_.load(std::memory_order_acquire)));
  }
  [[nodiscard]] bool is_virtual() const noexcept override { return true; }
  [[nodiscard]] bool moves_when_idle() const noexcept override { return moves_when_idle_; }
  void move_on_to(time_point when) override { move_to(when); }
  void tell() const { notify(now()); }

  void move_by(duration by) {
    const auto ticks = by.count();
    if (moves_here == this) return move_to(now() + by);
    move(aim_.fetch_add(ticks, std::memory_order_relaxed) + ticks);
  }
  void move_to(time_point when) {
    const auto target = when.time_since_epoch().count();
    raise(aim_, target);
    move(target);
  }

 private:
  static void raise(std::atomic<duration::rep>& ticks, duration::rep to) noexcept {
    duration::rep seen = ticks.load(std::memory_order_relaxed);
    while (seen < to && !ticks.compare_exchange_weak(seen, to, std::memory_order_acq_rel)) {
    }
  }

  // Ends at the latest when no timer is left up to the target: telling has called those that were due.
  void move(duration::rep target) {
    const moving here(this);
    for (duration::rep stop = target;; stop = target) {
      const auto first_timer = detail::first_timer.load(std::memory_order_acquire);
      if (first_timer != nullptr && &current_clock() == this) {  // timers go by the clock in force
        const time_point next = std::max(first_timer(), now());
        stop = std::min(target, next.time_since_epoch().count());
      }
      raise(ticks_, stop);
      tell();
      if (stop == target) break;
    }
  }

  static inline constinit thread_local const source* moves_here = nullptr;  // which this thread is moving right now
  struct moving {
    explicit moving(const source* which) noexcept : outer(std::exchange(moves_here, which)) {}
    ~moving() { moves_here = outer; }
    moving(const moving&) = delete;
    moving& operator=(const moving&) = delete;
    const source* outer;
  };

  const bool moves_when_idle_;
  std::atomic<duration::rep> ticks_;
  // Where the moves that have begun will end. Only says how far to go; ticks_ orders what others see.
  std::atomic<duration::rep> aim_;
};

namespace {

// All there ever were: who has read which clock is installed may still look at it.
struct virtual_sources {
  std::mutex mutex;
  std::vector<std::unique_ptr<clock_source>> all;
};

}  // namespace

virtual_clock::virtual_clock(moves how) {
  auto made = std::make_unique<source>(tutti::now(), how);
  source_ = made.get();
  {
    auto& kept = process_wide<virtual_sources>();
    const std::lock_guard guard(kept.mutex);
    kept.all.push_back(std::move(made));
  }
  before_ = detail::installed_clock.exchange(source_, std::memory_order_acq_rel);
  source_->tell();
}

virtual_clock::~virtual_clock() {
  detail::installed_clock.store(before_, std::memory_order_release);
  source_->tell();
}

virtual_clock::time_point virtual_clock::now() const noexcept { return source_->now(); }

void virtual_clock::advance(duration by) {
  if (by < duration::zero()) throw std::invalid_argument("virtual_clock::advance: time does not go back");
  source_->move_by(by);
}

void virtual_clock::advance_to(time_point when) { source_->move_to(when); }

}  // namespace tutti
