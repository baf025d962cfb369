#include <algorithm>
#include <tutti/cluster/inside/brokers/redis_keys.hpp>
#include <tutti/cluster/inside/brokers/redis_listeners.hpp>
#include <utility>

namespace tutti::cluster::detail {

namespace {

using clock = std::chrono::steady_clock;

// Redis' pattern that means `channel` itself, but for a `*` at its end.
std::string pattern_of(const std::string& channel) {
  std::string pattern;
  for (std::size_t i = 0; i < channel.size(); ++i) {
    const bool last_star = channel[i] == '*' && i + 1 == channel.size();
    if (!last_star && std::string_view("*?[]\\").find(channel[i]) != std::string_view::npos) pattern += '\\';
    pattern += channel[i];
  }
  return pattern;
}

}  // namespace

redis_fanout_listener::redis_fanout_listener(const broker_url& where, const broker_options& options,
                                             const std::string& channel)
    : pattern_(pattern_of(fanout_channel(where.database, channel))),
      line_(where, std::max(options.patience, std::chrono::milliseconds(100))) {
  static_cast<void>(hear(clock::now() + options.patience));
  if (!has_missed()) throw broker_error(why_.empty() ? where.redacted() + ": it does not answer" : why_);
}

// The next text; nothing when the time is up, when wake() came, and when it has subscribed. Throws broker_error when
// Redis refuses.
std::optional<std::string> redis_fanout_listener::hear(clock::time_point until) {
  for (;;) {
    if (wake_.take()) return std::nullopt;
    try {
      if (!line_.is_open()) {
        line_.open();
        redis_request request;
        request.add({"PSUBSCRIBE", pattern_});
        line_.send(request);
      }
      while (std::optional<redis_heard> heard = line_.hear_now()) {
        if (heard->what == redis_heard::kind::message) return std::move(heard->text);
        if (heard->what != redis_heard::kind::subscribed) continue;
        has_subscribed_ = true;
        backoff_.reset();
        return std::nullopt;
      }
      if (clock::now() >= until || !line_.wait(wake_, until)) return std::nullopt;
    } catch (const redis_lost& lost) {
      line_.close();
      why_ = lost.what();
      if (clock::now() >= until) return std::nullopt;
      wake_.wait(std::min(until, clock::now() + backoff_.next()));
    } catch (const broker_error&) {
      line_.close();
      throw;
    }
  }
}

std::optional<std::string> redis_fanout_listener::receive(std::chrono::nanoseconds patience) {
  return hear(redis_deadline(patience));
}

redis_answer_listener::redis_answer_listener(std::shared_ptr<redis_clients> clients, std::string routing_key)
    : clients_(std::move(clients)),
      routing_key_(std::move(routing_key)),
      queue_(routing_key_ + "." + std::string(reply_exchange)),
      line_(clients_->where(), std::max(clients_->options().patience, std::chrono::milliseconds(100))) {
  clients_->run([this](redis_client& client) {
    client.connection.run(
        {"SADD", std::string(bindings_key) + std::string(reply_exchange), binding_of(routing_key_, queue_)});
  });
}

redis_answer_listener::~redis_answer_listener() {
  line_.close();
  try {
    clients_->run([this](redis_client& client) {
      redis_request request;
      request.add({"SREM", std::string(bindings_key) + std::string(reply_exchange), binding_of(routing_key_, queue_)});
      request.add({"DEL", queue_});
      client.connection.run(request);
    });
  } catch (const broker_error&) {
    // Answers that come now are left over, until somebody clears the broker.
  }
}

// Throws redis_lost, or broker_error when Redis refuses.
void redis_answer_listener::bind() {
  line_.open();
  line_.run({"SADD", std::string(bindings_key) + std::string(reply_exchange), binding_of(routing_key_, queue_)});
  asked_ = false;
  backoff_.reset();
}

std::optional<std::string> redis_answer_listener::receive(std::chrono::nanoseconds patience) {
  for (const clock::time_point until = redis_deadline(patience);;) {
    if (wake_.take()) return std::nullopt;
    try {
      if (!line_.is_open()) bind();
      if (!std::exchange(asked_, true)) {
        redis_request request;
        request.add({"BRPOP", queue_, "0"});
        line_.send(request);
      }
      if (const std::optional<redis_reply> reply = line_.read_now()) {
        asked_ = false;
        throw_errors(clients_->where(), std::span(&*reply, 1));
        return std::string(reply->value()[1].text());
      }
      std::vector<::pollfd> fds{{line_.fd(), POLLIN, 0}};
      if (clock::now() >= until || !wake_.wait(fds, until)) return std::nullopt;
    } catch (const redis_lost&) {
      line_.close();
      if (clock::now() >= until) return std::nullopt;
      wake_.wait(std::min(until, clock::now() + backoff_.next()));
    } catch (const broker_error&) {
      line_.close();
      throw;
    }
  }
}

}  // namespace tutti::cluster::detail
