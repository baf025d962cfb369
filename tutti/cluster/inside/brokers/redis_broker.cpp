#include <algorithm>
#include <set>
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/brokers/redis_broker.hpp>
#include <tutti/cluster/inside/brokers/redis_clients.hpp>
#include <tutti/cluster/inside/brokers/redis_consumer.hpp>
#include <tutti/cluster/inside/brokers/redis_keys.hpp>
#include <tutti/cluster/inside/brokers/redis_listeners.hpp>
#include <tutti/cluster/inside/brokers/redis_scripts.hpp>
#include <tutti/cluster/inside/step_length.hpp>
#include <utility>

namespace tutti::cluster {

namespace {

using namespace detail;

class redis_broker final : public broker {
 public:
  redis_broker(const broker_url& where, const broker_options& options)
      : where_(where),
        options_(options),
        clients_(std::make_shared<redis_clients>(where, options,
                                                 std::vector<const redis_script*>{&count_script, &purge_script})) {}

  void publish(std::span<const outgoing_message> messages) override {
    while (!messages.empty()) {
      const std::size_t n = step_length(messages, most_sent_at_once, most_bytes_sent_at_once);
      publish_batch(messages.first(n));
      messages = messages.subspan(n);
    }
  }

  std::unique_ptr<consumer> consume(const std::string& name, std::vector<std::string> queues) override {
    return std::make_unique<redis_consumer>(where_, options_, name, std::move(queues));
  }

  std::vector<queue_info> queues(std::span<const std::string> names) override {
    std::vector<queue_info> result;
    clients_->run([&](redis_client& client) {
      redis_connection& redis = client.connection;
      const std::vector<std::string> wanted =
          names.empty() ? known_queues(redis) : std::vector<std::string>(names.begin(), names.end());
      result.clear();
      if (wanted.empty()) return;
      for (const std::string& queue : wanted) result.push_back({queue});
      std::string cursor = "0";
      do {
        redis_request request;
        if (cursor == "0")  // together with the first slice: what goes from one place to another is seldom missed
          for (const std::string& queue : wanted)
            for (const std::string& list : list_keys(queue)) request.add({"LLEN", list});
        redis.begin_script(request, count_script, 2, 1 + wanted.size());
        request.word(later_key);
        request.word(consumers_key);
        request.word(cursor);
        for (const std::string& queue : wanted) request.word(queue);
        const std::vector<redis_reply> replies = redis.run(request);
        for (std::size_t list = 0; list + 1 < replies.size(); ++list)
          result[list / 4].waiting += static_cast<std::uint64_t>(replies[list].value().integer());
        const redis_value counts = replies.back().value();
        for (std::size_t i = 0; i < wanted.size(); ++i) {
          result[i].held += static_cast<std::uint64_t>(counts[1 + 2 * i].integer());
          result[i].delayed += static_cast<std::uint64_t>(counts[2 + 2 * i].integer());
        }
        cursor = std::string(counts[0].text());
      } while (cursor != "0");
    });
    return result;
  }

  std::vector<std::string> peek(const std::string& queue, std::size_t most) override {
    std::vector<std::string> result;
    if (most == 0) return result;
    clients_->run([&](redis_client& client) {
      result.clear();
      for (const std::string& list : list_keys(queue)) {
        const std::string from = "-" + std::to_string(std::min<std::size_t>(most - result.size(), 1 << 30));
        const redis_reply reply = client.connection.run({"LRANGE", list, from, "-1"});
        for (std::size_t i = reply.value().size(); i-- > 0;) {
          std::string kept;
          result.emplace_back(without_returns(reply.value()[i].text(), kept));
        }
        if (result.size() >= most) return;
      }
    });
    return result;
  }

  std::uint64_t purge(const std::string& queue) override {
    std::uint64_t dropped = 0;
    std::string cursor = "0";
    do {
      clients_->run([&](redis_client& client) {
        redis_request request;
        client.connection.begin_script(request, purge_script, 6, 1);
        request.word(later_key);
        request.word(later_texts_key);
        for (const std::string& list : list_keys(queue)) request.word(list);
        request.word(cursor);
        const redis_reply reply = std::move(client.connection.run(request).front());
        cursor = std::string(reply.value()[0].text());
        dropped += static_cast<std::uint64_t>(reply.value()[1].integer());
      });
    } while (cursor != "0");
    return dropped;
  }

  void broadcast(const std::string& channel, const std::string& text) override {
    clients_->run([&](redis_client& client) {
      client.connection.run({"PUBLISH", fanout_channel(where_.database, channel), text});
    });
  }

  std::unique_ptr<listener> listen(const std::string& channel) override {
    return std::make_unique<redis_fanout_listener>(where_, options_, channel);
  }

  void answer(const std::string& exchange, const std::string& routing_key, const std::string& text) override {
    clients_->run([&](redis_client& client) {
      const redis_reply bindings = client.connection.run({"SMEMBERS", std::string(bindings_key) + exchange});
      redis_request request;
      for (std::size_t i = 0; i < bindings.value().size(); ++i) {
        const auto [key, queue] = parts_of_binding(bindings.value()[i].text());
        if (key == routing_key && !queue.empty()) request.add({"LPUSH", queue, text});
      }
      client.connection.run(request);  // who has asked may have gone: then there is none
    });
  }

  std::unique_ptr<listener> answers(const std::string& routing_key) override {
    return std::make_unique<redis_answer_listener>(clients_, routing_key);
  }

  std::string name() const override { return where_.redacted(); }
  bool is_shared() const noexcept override { return true; }

 private:
  void publish_batch(std::span<const outgoing_message> messages) {
    std::int64_t number = 0;  // of the batch on its connection, once there was an attempt
    // For longer than attempts are made.
    const auto life = std::chrono::ceil<std::chrono::seconds>(options_.patience) + std::chrono::minutes(10);
    const std::string remembered = std::to_string(life.count());
    clients_->run([&](redis_client& client) {
      redis_connection& redis = client.connection;
      const std::string published = "tutti:published:" + client.name;
      if (number == 0) {
        number = ++client.published;
      } else {
        // The attempt before has ended, with the connection that it was made on: it is there or it is not.
        const redis_reply last = redis.run({"GET", published});
        if (last.value().text() == std::to_string(number)) return;
      }
      std::set<std::string> lists = require_lists(client, messages);
      redis_request request;
      request.add({"MULTI"});
      request.add({"SET", published, std::to_string(number), "EX", remembered});
      std::set<std::string> declared;
      for (std::size_t i = 0; i < messages.size();) {
        const std::string& queue = messages[i].queue;
        const std::string list = list_key(queue, messages[i].priority);
        std::size_t end = i + 1;
        while (end < messages.size() && list_key(messages[end].queue, messages[end].priority) == list) ++end;
        request.begin(2 + end - i);
        request.word("LPUSH");
        request.word(list);
        for (; i < end; ++i) request.word(messages[i].text);
        if (client.declared.count(queue) != 0 || !declared.insert(queue).second) continue;
        request.add({"SADD", queues_key, queue});
        request.add({"SADD", std::string(bindings_key) + queue, binding_of(queue, queue)});
      }
      request.add({"EXEC"});
      try {
        redis.run(request);
      } catch (const broker_error& e) {
        client.lists.clear();  // one may be another thing by now
        if (denial_of(e.what()) == redis_denial::key) throw broker_refusal(e.what());
        throw;
      }
      client.declared.merge(declared);
      client.lists.merge(lists);
    });
  }

  // EXEC carries out the rest when one list refuses. So, before anything is sent to several, those are looked at that
  // have taken nothing from us yet. Gives all of them. Throws broker_refusal.
  std::set<std::string> require_lists(redis_client& client, std::span<const outgoing_message> messages) {
    std::set<std::string> lists;
    for (const outgoing_message& message : messages) lists.insert(list_key(message.queue, message.priority));
    if (lists.size() > 1) {
      redis_request request;
      for (const std::string& list : lists)
        if (!client.lists.contains(list)) request.add({"LLEN", list});
      client.connection.send(request);
      std::vector<redis_reply> refusals;
      for (std::size_t i = 0; i < request.commands(); ++i) {
        redis_reply reply = client.connection.read();
        if (reply.value().text().starts_with("WRONGTYPE")) refusals.push_back(std::move(reply));
      }
      throw_errors(where_, refusals);
    }
    return lists;
  }

  // Those that we or Celery's have used, in order.
  static std::vector<std::string> known_queues(redis_connection& redis) {
    std::set<std::string> names;
    const redis_reply ours = redis.run({"SMEMBERS", queues_key});
    for (std::size_t i = 0; i < ours.value().size(); ++i) names.emplace(ours.value()[i].text());
    std::string cursor = "0";
    do {
      const redis_reply found =
          redis.run({"SCAN", cursor, "MATCH", std::string(bindings_key) + "*", "COUNT", "1000", "TYPE", "set"});
      cursor = std::string(found.value()[0].text());
      for (std::size_t i = 0; i < found.value()[1].size(); ++i) {
        const std::string_view key = found.value()[1][i].text();
        const std::string_view exchange = key.substr(bindings_key.size());
        if (exchange.ends_with(".pidbox") || exchange == "celeryev") continue;  // between workers and their watchers
        const redis_reply members = redis.run({"SMEMBERS", key});
        for (std::size_t m = 0; m < members.value().size(); ++m)
          names.insert(parts_of_binding(members.value()[m].text()).second);
      }
    } while (cursor != "0" && !cursor.empty());
    names.erase("");
    return {names.begin(), names.end()};
  }

  const broker_url where_;
  const broker_options options_;
  const std::shared_ptr<redis_clients> clients_;
};

}  // namespace

std::shared_ptr<broker> make_redis_broker(const broker_url& where, const broker_options& options) {
  return std::make_shared<redis_broker>(where, options);
}

}  // namespace tutti::cluster
