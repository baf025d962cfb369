#include <time.h>
#include <algorithm>
#include <tutti/cluster/inside/brokers/redis_clients.hpp>
#include <tutti/cluster/inside/brokers/redis_keeper.hpp>
#include <tutti/cluster/inside/brokers/redis_keys.hpp>
#include <tutti/cluster/inside/brokers/redis_scripts.hpp>
#include <utility>

namespace tutti::cluster::detail {

namespace {

constexpr const redis_script* const scripts[] = {&keep_script};
constexpr int most_at_once = 500;  // messages that one call moves, so that others need not wait for long

std::int64_t milliseconds_of(std::chrono::steady_clock::duration time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
}

}  // namespace

redis_keeper::redis_keeper(const broker_url& where, std::string consumer, std::chrono::milliseconds lease,
                           broker_link& link, std::function<void()> back, std::function<void(bool, std::int64_t)> kept)
    : name_(where.redacted()),
      consumer_(std::move(consumer)),
      lease_(std::max(lease, std::chrono::milliseconds(4))),
      link_(link),
      back_(std::move(back)),
      kept_(std::move(kept)),
      // What it asks is too old to call anybody dead when it is answered after half a lease: see keep().
      connection_(where, std::max(lease_ / 2, std::chrono::milliseconds(100)), scripts),
      thread_([this] { run(); }) {}

redis_keeper::~redis_keeper() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void redis_keeper::expect(std::int64_t when) {
  {
    const std::lock_guard lock(mutex_);
    if (soonest_ >= 0 && soonest_ <= when) return;
    soonest_ = when;
  }
  changed_.notify_all();
}

std::int64_t redis_keeper::since_boot() noexcept {
  ::timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1000 + time.tv_nsec / 1'000'000;
}

redis_keeper::clock::time_point redis_keeper::moment_of(std::int64_t redis_ms) const {
  // A time far away would not fit; the next look is sooner anyhow.
  return asked_ + std::chrono::milliseconds(std::clamp<std::int64_t>(redis_ms - redis_now_, 0, 1 << 30));
}

redis_keeper::clock::time_point redis_keeper::keep() {
  if (!connection_.is_open()) {
    connection_.open();
    // All of us may have been cut off: the others get the time to say that they live.
    trusted_from_ = clock::now() + lease_;
  }
  const auto now = clock::now();
  const std::int64_t asked_at = since_boot();
  const bool trusted = now >= trusted_from_ && redis_now_ > 0;
  const std::int64_t latest = trusted ? redis_now_ + milliseconds_of(now - asked_) + lease_.count() / 2 : 0;
  redis_request request;
  connection_.begin_script(request, keep_script, 3, 4);
  for (const std::string_view key : {consumers_key, later_key, later_texts_key}) request.word(key);
  request.word(consumer_);
  for (const std::int64_t number : {std::int64_t{lease_.count()}, latest, std::int64_t{most_at_once}})
    request.word(number);
  {
    const std::lock_guard lock(mutex_);
    soonest_ = -1;  // what expect() says from now on may come too late for the answer
  }
  const std::vector<redis_reply> replies = connection_.run(request);
  const redis_value said = replies.front().value();
  log_diverted(name_, said[3], said[4]);
  const bool lapsed = since_boot() >= sure_until_.load();
  if (lapsed) lapses_.fetch_add(1);
  kept_(lapsed, said[5].integer());
  sure_until_.store(asked_at + lease_.count());
  if (trusted && said[0].integer() > latest) trusted_from_ = now + lease_;  // its clock was set, or it stood still
  const std::lock_guard lock(mutex_);
  asked_ = now;
  redis_now_ = said[0].integer();
  const std::int64_t soonest = said[2].integer();
  if (soonest >= 0 && (soonest_ < 0 || soonest < soonest_)) soonest_ = soonest;
  return said[1].integer() != 0 ? now : now + lease_ / 4;
}

void redis_keeper::run() {
  redis_backoff backoff;
  bool failed = false;
  for (;;) {
    clock::time_point again;
    try {
      again = keep();
      backoff.reset();
      link_.found(broker_line::keeping);
      if (std::exchange(failed, false)) back_();
    } catch (const broker_error& e) {
      const bool was_open = connection_.is_open();
      connection_.close();
      if (failed || was_open) link_.lost(broker_line::keeping, e.what());
      failed = true;
      again = clock::now() + std::min<clock::duration>(backoff.next(), lease_ / 4);
    }
    std::unique_lock lock(mutex_);
    while (!stop_) {
      const auto until = !failed && soonest_ >= 0 ? std::min(again, moment_of(soonest_)) : again;
      if (changed_.wait_until(lock, until) == std::cv_status::timeout && clock::now() >= until) break;
    }
    if (stop_) return;
  }
}

}  // namespace tutti::cluster::detail
