#include <algorithm>
#include <tutti/cluster/inside/brokers/redis_subscription.hpp>

namespace tutti::cluster::detail {

namespace {

constexpr std::chrono::seconds silence{10};

}  // namespace

redis_subscription::redis_subscription(const broker_url& where, std::chrono::milliseconds patience)
    : where_(where), line_(where, patience), patience_(patience) {}

void redis_subscription::open() {
  if (line_.is_open()) return;
  line_.open();
  heard_ = clock::now();
  asked_ = false;
}

void redis_subscription::close() noexcept { line_.close(); }

std::optional<redis_heard> redis_subscription::hear_now() {
  const std::optional<redis_reply> reply = line_.read_now();
  if (!reply) return std::nullopt;
  asked_ = false;
  const redis_value said = reply->value();
  if (said.is_error()) throw_errors(where_, std::span(&*reply, 1));
  const std::string_view kind = said[0].text();
  redis_heard heard;
  if (kind == "message") {
    heard = {redis_heard::kind::message, std::string(said[1].text()), std::string(said[2].text())};
  } else if (kind == "pmessage") {
    heard = {redis_heard::kind::message, std::string(said[2].text()), std::string(said[3].text())};
  } else if (kind == "subscribe" || kind == "psubscribe") {
    heard = {redis_heard::kind::subscribed, std::string(said[1].text()), {}};
  }
  return heard;
}

bool redis_subscription::wait(redis_wake& wake, clock::time_point until) {
  for (;;) {
    std::vector<::pollfd> fds{{line_.fd(), POLLIN, 0}};
    const clock::time_point ask = heard_ + (asked_ ? clock::duration(patience_) : clock::duration(silence));
    if (wake.wait(fds, std::min(until, ask))) {
      if (fds.front().revents != 0) heard_ = clock::now();
      return true;
    }
    const clock::time_point now = clock::now();
    if (now >= ask) {
      if (asked_) {
        line_.close();
        throw redis_lost("Redis has fallen silent");
      }
      redis_request ping;
      ping.add({"PING"});
      line_.send(ping);
      heard_ = now;
      asked_ = true;
    }
    if (now >= until) return false;
  }
}

}  // namespace tutti::cluster::detail
