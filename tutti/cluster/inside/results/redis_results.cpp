#include <tutti/cluster/inside/brokers/redis_clients.hpp>
#include <tutti/cluster/inside/brokers/redis_scripts.hpp>
#include <tutti/cluster/inside/brokers/redis_watch.hpp>
#include <tutti/cluster/inside/results/celery_header.hpp>
#include <tutti/cluster/inside/results/redis_results.hpp>
#include <tutti/cluster/inside/step_length.hpp>
#include <utility>

namespace tutti::cluster {

namespace {

using namespace detail;

constexpr std::size_t results_at_once = 1000;
constexpr std::size_t bytes_at_once = 4 << 20;         // in what is sent before an answer is read
constexpr const char* completed = ".tutti-completed";  // names the task whose part did that
constexpr std::int64_t chord_seconds = 30 * 86400;     // how long a chord may take whose parts say nothing

std::string group_key(const std::string& group, std::string_view of) {
  return "celery-taskset-meta-" + group + std::string(of);
}

class redis_results final : public result_store {
 public:
  redis_results(const broker_url& where, const broker_options& options)
      : where_(where),
        options_(options),
        clients_(where, options, std::vector<const redis_script*>{&store_script, &chord_script, &complete_script}) {}

  void store(std::span<const stored_result> results) override {
    while (!results.empty()) {
      const std::span<const stored_result> some = results.first(step_length(results, results_at_once, bytes_at_once));
      // All of it may be done twice: a success is replaced by itself, and others look before they replace anything.
      clients_.run([&](redis_client& client) {
        redis_request request;
        for (const stored_result& result : some) add(request, client.connection, result);
        client.connection.run(request);
      });
      results = results.subspan(some.size());
    }
  }

  std::vector<std::optional<std::string>> fetch(std::span<const std::string> ids) override {
    std::vector<std::optional<std::string>> found;
    clients_.run([&](redis_client& client) {
      redis_request request;
      add_result_keys(request, "MGET", ids);
      found.clear();
      for (const redis_reply& reply : client.connection.run(request)) {
        for (std::size_t i = 0; i < reply.value().size(); ++i) {
          const redis_value text = reply.value()[i];
          found.push_back(text.is_nil() ? std::nullopt : std::optional(std::string(text.text())));
        }
      }
    });
    found.resize(ids.size());
    return found;
  }

  void forget(std::span<const std::string> ids) override {
    clients_.run([&](redis_client& client) {
      redis_request request;
      add_result_keys(request, "UNLINK", ids);
      client.connection.run(request);
    });
  }

  std::unique_ptr<result_watch> watch() override { return std::make_unique<redis_watch>(where_, options_); }

  void begin_chord(const std::string& group, std::int64_t size) override {
    run({"SET", group_key(group, ".s"), std::to_string(size), "EX", std::to_string(chord_seconds)});
  }

  std::optional<chord_parts> add_chord_part(const std::string& group, std::int64_t index, const std::string& id,
                                            const std::string& text) override {
    std::optional<chord_parts> parts;
    clients_.run([&](redis_client& client) {
      redis_request request;
      client.connection.begin_script(request, chord_script, 5, 4);
      for (const char* const of : {".j", ".t", ".s", "", completed}) request.word(group_key(group, of));
      request.word(index < 0 ? "+inf" : std::to_string(index));
      request.word(id);
      request.word(text);
      request.word(chord_seconds);
      const std::vector<redis_reply> replies = client.connection.run(request);
      const redis_value all = replies.front().value();
      parts.reset();
      if (!all.is_array()) return;
      parts.emplace();
      for (std::size_t i = 1; i < all.size(); ++i) parts->emplace_back(all[i].text());
      if (const std::string_view noted = all[0].text(); !noted.empty()) {
        parts = in_shape(noted, std::move(*parts));
        if (parts && !completes(client, group, id)) parts.reset();
      }
    });
    return parts;
  }

  void end_chord(const std::string& group) override {
    run({"DEL", group_key(group, ".j"), group_key(group, ".t"), group_key(group, ".s"), group_key(group, completed)});
  }

  std::string name() const override { return where_.redacted(); }

 private:
  void run(const std::vector<std::string>& words) {
    clients_.run([&](redis_client& client) {
      redis_request request;
      request.add(words.front(), std::span(words).subspan(1));
      client.connection.run(request);
    });
  }

  // Whether it is this task's part that has completed the chord: a part that comes once more changes nothing.
  static bool completes(redis_client& client, const std::string& group, const std::string& id) {
    const std::string key = group_key(group, completed);
    redis_request request;
    client.connection.begin_script(request, complete_script, 1, 2);
    request.word(key);
    request.word(id);
    request.word(chord_seconds);
    return client.connection.run(request).back().value().text() == id;
  }

  static void add(redis_request& request, const redis_connection& redis, const stored_result& result) {
    const std::string key = result_key(result.id);
    redis.begin_script(request, store_script, 1, 3);
    request.word(key);
    request.word(result.text);
    request.word(result.kept_for().count());
    request.word(result.is_success ? "success" : result.is_passing ? "passing" : "failure");
  }

  const broker_url where_;
  const broker_options options_;
  redis_clients clients_;
};

}  // namespace

std::shared_ptr<result_store> make_redis_results(const broker_url& where, const broker_options& options) {
  return std::make_shared<redis_results>(where, options);
}

}  // namespace tutti::cluster
