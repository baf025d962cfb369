#include <tutti/io/http/pool.hpp>

#include <tutti/base/clock.hpp>
#include <tutti/core/home.hpp>
#include <tutti/core/local_executor.hpp>

#include <fmt/format.h>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace tutti::io::http::detail {
namespace {

bool seems_alive(const stream& s, bool quiet) noexcept {
  char next = 0;
  const ::ssize_t n = ::recv(s.descriptor(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0) return !quiet;
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

task<lease> pool::take(std::string origin, std::chrono::nanoseconds limit) {
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
  if (!has_place) throw timed_out(fmt::format("all {} connections to {} were in use for too long", most_, origin));
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
  eviction_ = call_at(first + keep_, [weak = weak_from_this(), home = home_here().id] {
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

lease& lease::operator=(lease&& other) noexcept {
  if (this == &other) return *this;
  drop();
  of_ = std::move(other.of_);
  at_ = other.at_;
  wire_ = std::move(other.wire_);
  return *this;
}

bool lease::reuse(bool quiet) {
  auto& idle = at_->second.idle;
  while (!idle.empty()) {
    wire_ = std::move(idle.back().wire);
    idle.pop_back();
    --of_->idle_;
    if (seems_alive(wire_->io(), quiet)) return true;
    wire_.reset();
  }
  return false;
}

void lease::keep() {
  if (of_ == nullptr) return;
  if (wire_ != nullptr && of_->keep_ > std::chrono::nanoseconds(0)) {
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
