#include <algorithm>
#include <tutti/base/log.hpp>
#include <tutti/cluster/inside/brokers/redis_bells.hpp>
#include <utility>

namespace tutti::cluster::detail {

redis_bells::redis_bells(broker_url where, std::chrono::milliseconds patience)
    : where_(std::move(where)), patience_(patience) {}

void redis_bells::set_lists(const std::vector<std::string>& lists) {
  std::vector<bell> next;
  for (const std::string& list : lists) {
    const auto known = std::find_if(bells_.begin(), bells_.end(), [&](const bell& b) { return b.list == list; });
    if (known != bells_.end()) {
      next.push_back(std::move(*known));
      bells_.erase(known);
    } else {
      next.push_back({list, std::make_unique<redis_connection>(where_, patience_)});
    }
  }
  bells_ = std::move(next);
}

void redis_bells::arm() {
  for (bell& one : bells_) {
    if (one.armed || one.again > clock::now()) continue;
    one.line->open();
    redis_request request;
    request.add({"BLMOVE", one.list, one.list, "RIGHT", "RIGHT", "0"});
    one.line->send(request);
    one.armed = true;
  }
}

void redis_bells::add_to(std::vector<::pollfd>& fds) const {
  for (const bell& one : bells_)
    if (one.armed) fds.push_back({one.line->fd(), POLLIN, 0});
}

bool redis_bells::rang() {
  bool any = false;
  for (bell& one : bells_) {
    if (!one.armed) continue;
    const std::optional<redis_reply> reply = one.line->read_now();
    if (!reply) continue;
    if (reply->value().is_error()) {
      // The key belongs to something else, or this Redis is too old or lets us not: it may say so again and again.
      if (one.pause == std::chrono::milliseconds(0))
        log(log_level::warn, "a list of Redis cannot be waited for; trying again",
            {{"broker", where_.redacted()}, {"list", one.list}, {"reason", reply->value().text()}});
      one.pause = std::clamp(2 * one.pause, std::chrono::milliseconds(100), std::chrono::milliseconds(1000));
      one.again = clock::now() + one.pause;
    } else {
      one.pause = std::chrono::milliseconds(0);
    }
    one.armed = false;
    any = true;  // a refusal, too: then its list is looked at now and then
  }
  return any;
}

redis_bells::clock::time_point redis_bells::next() const noexcept {
  clock::time_point soonest = clock::time_point::max();
  for (const bell& one : bells_)
    if (!one.armed) soonest = std::min(soonest, one.again);
  return soonest;
}

void redis_bells::close() noexcept {
  for (bell& one : bells_) {
    one.line->close();
    one.armed = false;
  }
}

}  // namespace tutti::cluster::detail
