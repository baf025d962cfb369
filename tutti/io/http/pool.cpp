#include <tutti/io/http/pool.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/local_executor.hpp>

#include <tutti/io/inside/reactor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tutti::io::http::detail {

void pool::check_loop() {
  const std::uint64_t here = io::detail::reactor::here("http::client").id;
  std::uint64_t mine = loop_.load(std::memory_order_relaxed);  // relaxed: only the number itself matters
  if (mine == here) return;
  if (mine == 0 && loop_.compare_exchange_strong(mine, here, std::memory_order_relaxed)) return;
  throw std::logic_error(
      "http::client: it belongs to another loop than the one this runs on, that of its first request: make a client "
      "for each loop, or co_await resume_on(that loop) first");
}

task<lease> pool::take(std::string origin, time_limit limit) {
  const std::shared_ptr<pool> self = shared_from_this();
  const auto at = hosts_.try_emplace(origin, most_).first;
  struct user {  // who waits in vain leaves, too
    explicit user(pool& p, hosts::iterator h) noexcept : of(&p), at(h) { ++at->second.users; }
    ~user() {
      if (of != nullptr) of->leave(at);
    }
    user(const user&) = delete;
    user& operator=(const user&) = delete;
    pool* of;
    hosts::iterator at;
  } here(*this, at);
  const bool has_place = co_await at->second.places.acquire_for_async(limit);
  if (!has_place)
    throw timed_out(
        fmt::format("all {} connections to {} were in use for longer than the limit of {}: allow more with "
                    "client_options::max_per_host",
                    most_, origin, io::detail::in_words(limit.told())));
  here.of = nullptr;
  co_return lease(self, at);
}

void pool::leave(hosts::iterator at) noexcept {
  if (--at->second.users == 0 && at->second.idle.empty()) hosts_.erase(at);
}

void pool::expect_eviction() {
  if (eviction_set_ || keep_ == no_limit) return;
  eviction_set_ = true;
  std::chrono::steady_clock::time_point first = std::chrono::steady_clock::time_point::max();
  for (const auto& [origin, h] : hosts_)
    if (!h.idle.empty()) first = std::min(first, h.idle.front().since);
  // The timer's thread only sends it home.
  using moment = std::chrono::steady_clock::time_point;
  const moment due = keep_ < moment::max() - first ? first + keep_ : moment::max();
  eviction_ = call_at(due, [weak = weak_from_this(), home = home_here().id] {
    auto there = [weak] {
      if (const std::shared_ptr<pool> self = weak.lock()) self->evict();
    };
    start_at_home(home, tutti::call(new tutti::detail::posted<decltype(there)>(std::move(there), {})));
  });
}

void pool::evict() {
  eviction_set_ = false;
  const auto due = now() - keep_;
  for (auto at = hosts_.begin(); at != hosts_.end();) {
    auto& idle = at->second.idle;  // the oldest first
    idle_ -= std::erase_if(idle, [&](const kept& k) { return k.since <= due; });
    const auto next = std::next(at);
    if (idle.empty() && at->second.users == 0) hosts_.erase(at);
    at = next;
  }
  if (idle_ != 0) expect_eviction();
}

void pool::drop_oldest() noexcept {
  const auto age = [](const hosts::value_type& h) {
    return h.second.idle.empty() ? std::chrono::steady_clock::time_point::max() : h.second.idle.front().since;
  };
  const auto at =
      std::min_element(hosts_.begin(), hosts_.end(), [&](const auto& a, const auto& b) { return age(a) < age(b); });
  at->second.idle.erase(at->second.idle.begin());
  --idle_;
  if (at->second.idle.empty() && at->second.users == 0) hosts_.erase(at);
}

bool pool::drop_idle() noexcept {
  const bool any = idle_ != 0;
  for (auto at = hosts_.begin(); at != hosts_.end();) {
    const auto next = std::next(at);
    at->second.idle.clear();
    if (at->second.users == 0) hosts_.erase(at);
    at = next;
  }
  idle_ = 0;
  return any;
}

lease& lease::operator=(lease&& other) noexcept {
  if (this == &other) return *this;
  drop();
  of_ = std::move(other.of_);
  at_ = other.at_;
  wire_ = std::move(other.wire_);
  return *this;
}

bool lease::reuse() {
  auto& idle = at_->second.idle;
  while (!idle.empty()) {
    wire_ = std::move(idle.back().wire);
    idle.pop_back();
    --of_->idle_;
    // What lies there already is its end, or no answer to the next request.
    if (wire_->is_quiet()) return true;
    wire_.reset();
  }
  return false;
}

void lease::keep() {
  if (of_ == nullptr) return;
  if (wire_ != nullptr && of_->keep_ > std::chrono::nanoseconds(0) && of_->most_idle_ != 0) {
    if (of_->idle_ == of_->most_idle_) of_->drop_oldest();
    at_->second.idle.push_back({std::move(wire_), now()});
    ++of_->idle_;
    of_->expect_eviction();
  }
  drop();
}

void lease::drop() noexcept {
  wire_.reset();
  const std::shared_ptr<pool> of = std::exchange(of_, nullptr);
  if (of == nullptr) return;
  at_->second.places.release();
  of->leave(at_);
}

}  // namespace tutti::io::http::detail
