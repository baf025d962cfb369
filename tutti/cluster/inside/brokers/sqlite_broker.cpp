#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/brokers/channel_pattern.hpp>
#include <tutti/cluster/inside/brokers/sqlite_broker.hpp>
#include <tutti/cluster/inside/brokers/sqlite_consumer.hpp>
#include <tutti/cluster/inside/brokers/sqlite_leases.hpp>
#include <tutti/cluster/inside/brokers/sqlite_messages.hpp>
#include <tutti/cluster/inside/step_length.hpp>
#include <tutti/process/process_futex.hpp>

#include <atomic>
#include <deque>
#include <map>
#include <thread>
#include <utility>

namespace tutti::cluster {
namespace {

using detail::sqlite_bell;
using detail::sqlite_database;
using detail::sqlite_rows;
using steady_time = std::chrono::steady_clock::time_point;
constexpr auto tasks = sqlite_bell::kind::tasks;
constexpr auto broadcasts = sqlite_bell::kind::broadcasts;

// What is changed in one step, which keeps all others waiting: it takes some 100 ms at most. Who waits for the file
// looks each 2 ms whether it is free, so it is left alone for longer than that between the steps.
constexpr std::size_t messages_at_once = 10'000, bytes_at_once = 4 << 20;
constexpr std::int64_t purged_at_once = 10'000;
constexpr std::chrono::milliseconds turn_of_others{3};

constexpr std::int64_t broadcast_life = 60'000;  // milliseconds; a listener that stands still for longer may miss some

class sqlite_listener final : public listener {
 public:
  sqlite_listener(const std::string& path, const broker_options& options, std::string pattern)
      : database_(sqlite_database::of(path, options.patience)), pattern_(std::move(pattern)) {
    last_ = database_->read([&] { return database_->number("SELECT max(id) FROM broadcast"); });
  }

  std::optional<std::string> receive(std::chrono::nanoseconds patience) override {
    const steady_time late = tutti::detail::machine_time_after(patience);
    for (;;) {
      const std::uint32_t seen = database_->bell()->count(broadcasts);
      if (woken_.exchange(false)) return std::nullopt;  // as in sqlite_consumer
      bool reached = true;
      try {
        if (texts_.empty()) look();
      } catch (const broker_error&) {
        reached = false;
      }
      if (!texts_.empty()) {
        std::string text = std::move(texts_.front());
        texts_.pop_front();
        return text;
      }
      const steady_time now = std::chrono::steady_clock::now();
      if (now >= late) return std::nullopt;
      database_->bell()->wait(broadcasts, seen, reached ? late : std::min(late, now + std::chrono::milliseconds(200)));
    }
  }
  void wake() noexcept override {
    woken_ = true;
    database_->bell()->ring(broadcasts);
  }
  bool has_missed() noexcept override { return std::exchange(has_missed_, false); }

 private:
  void look() {
    database_->read([&] {
      sqlite_rows rows = database_->query("SELECT id, channel, text FROM broadcast WHERE id > ? ORDER BY id", last_);
      while (rows.next()) {
        if (const std::int64_t before = std::exchange(last_, rows.number(0)); last_ != before + 1) has_missed_ = true;
        if (detail::channel_matches(pattern_, rows.text(1))) texts_.push_back(rows.text(2));
      }
    });
  }

  const std::shared_ptr<sqlite_database> database_;
  const std::string pattern_;
  std::int64_t last_;        // that we have seen
  bool has_missed_ = false;  // they are numbered without gaps, and the oldest are dropped first
  std::deque<std::string> texts_;
  std::atomic<bool> woken_{false};
};

class sqlite_broker final : public broker {
 public:
  sqlite_broker(const broker_url& where, const broker_options& options)
      : database_(sqlite_database::of(where.path, options.patience)), options_(options) {}

  void publish(std::span<const outgoing_message> messages) override {
    while (!messages.empty()) {
      const std::size_t n = detail::step_length(messages, messages_at_once, bytes_at_once);
      database_->write([&] { detail::insert_messages(*database_, messages.first(n)); });
      database_->bell()->ring(tasks);
      messages = messages.subspan(n);
      if (!messages.empty()) std::this_thread::sleep_for(turn_of_others);
    }
  }
  std::unique_ptr<consumer> consume(const std::string& name, std::vector<std::string> queues) override {
    return make_sqlite_consumer(database_->path(), options_, name, std::move(queues));
  }

  std::vector<queue_info> queues(std::span<const std::string> names) override {
    std::map<std::string, queue_info> found;
    const std::int64_t now = detail::milliseconds_of(std::chrono::system_clock::now());
    database_->read([&] {
      const auto add = [&](sqlite_rows rows, std::uint64_t queue_info::* count) {
        while (rows.next()) found[rows.text(0)].*count += static_cast<std::uint64_t>(rows.number(1));
      };
      add(database_->query("SELECT queue, count(*) FROM ready GROUP BY queue"), &queue_info::waiting);
      add(database_->query("SELECT queue, count(*) FROM held GROUP BY queue"), &queue_info::held);
      add(database_->query("SELECT queue, count(*) FROM delayed WHERE due > ? GROUP BY queue", now),
          &queue_info::delayed);
      add(database_->query("SELECT queue, count(*) FROM delayed WHERE due <= ? GROUP BY queue", now),
          &queue_info::waiting);
    });
    for (auto& [name, info] : found) info.name = name;
    std::vector<queue_info> result;
    for (const std::string& name : names) result.push_back(found.contains(name) ? found[name] : queue_info{name});
    if (!names.empty()) return result;
    for (auto& [name, info] : found) result.push_back(std::move(info));
    return result;
  }
  std::vector<std::string> peek(const std::string& queue, std::size_t most) override {
    return database_->write([&] {
      detail::move_due(*database_);
      std::vector<std::string> texts;
      sqlite_rows rows = database_->query(
          "SELECT m.text FROM ready r JOIN message m ON m.id = r.id WHERE r.queue = ? ORDER BY r.level, r.id LIMIT ?",
          queue, static_cast<std::int64_t>(std::min<std::size_t>(most, 1'000'000'000)));
      while (rows.next()) texts.push_back(rows.text(0));
      return texts;
    });
  }
  std::uint64_t purge(const std::string& queue) override {
    // Not what is sent from now on; and in slices, between which others get their turn.
    const std::int64_t newest = database_->read([&] { return database_->number("SELECT max(id) FROM message"); });
    std::uint64_t all = 0;
    for (const char* const from : {"ready", "delayed"}) {
      // Not until there are none: numbers are used again, so others' new ones may look old.
      for (std::int64_t dropped = purged_at_once; dropped == purged_at_once;) {
        if (all > 0) std::this_thread::sleep_for(turn_of_others);
        dropped = database_->write([&] { return purge_slice(from, queue, newest); });
        all += static_cast<std::uint64_t>(dropped);
      }
    }
    return all;
  }

  void broadcast(const std::string& channel, const std::string& text) override {
    send(detail::broadcast_channel(channel), text);
  }
  std::unique_ptr<listener> listen(const std::string& channel) override {
    return std::make_unique<sqlite_listener>(database_->path(), options_, detail::broadcast_channel(channel));
  }
  void answer(const std::string& exchange, const std::string& routing_key, const std::string& text) override {
    send(detail::answer_channel(exchange, routing_key), text);
  }
  std::unique_ptr<listener> answers(const std::string& routing_key) override {
    return std::make_unique<sqlite_listener>(database_->path(), options_,
                                             detail::answer_channel("reply.celery.pidbox", routing_key));
  }

  std::string name() const override { return "sqlite:" + database_->path(); }
  bool is_shared() const noexcept override { return true; }

 private:
  std::int64_t purge_slice(std::string_view from, const std::string& queue, std::int64_t newest) {
    if (from == "ready") {
      database_->run(
          "DELETE FROM message WHERE id IN"
          " (SELECT id FROM ready WHERE queue = ? AND id <= ? ORDER BY level, id LIMIT ?)",
          queue, newest, purged_at_once);
      return database_->run(
          "DELETE FROM ready WHERE queue = ?1 AND (level, id) IN"
          " (SELECT level, id FROM ready WHERE queue = ?1 AND id <= ?2 ORDER BY level, id LIMIT ?3)",
          queue, newest, purged_at_once);
    }
    database_->run(
        "DELETE FROM message WHERE id IN"
        " (SELECT id FROM delayed WHERE queue = ? AND id <= ? ORDER BY due, id LIMIT ?)",
        queue, newest, purged_at_once);
    return database_->run(
        "DELETE FROM delayed WHERE (due, id) IN"
        " (SELECT due, id FROM delayed WHERE queue = ? AND id <= ? ORDER BY due, id LIMIT ?)",
        queue, newest, purged_at_once);
  }

  void send(const std::string& channel, const std::string& text) {
    database_->write([&] {
      const std::int64_t now = detail::milliseconds_since_boot();
      // The older ones come first; those of the future are from before the machine was started anew.
      database_->run(
          "DELETE FROM broadcast WHERE id < (SELECT id FROM broadcast WHERE sent BETWEEN ? AND ? ORDER BY id LIMIT 1)",
          now - broadcast_life, now);
      database_->run("INSERT INTO broadcast(channel, text, sent) VALUES(?, ?, ?)", channel, text, now);
    });
    database_->bell()->ring(broadcasts);
  }

  const std::shared_ptr<sqlite_database> database_;
  const broker_options options_;
};

}  // namespace

std::shared_ptr<broker> make_sqlite_broker(const broker_url& where, const broker_options& options) {
  return std::make_shared<sqlite_broker>(where, options);
}

}  // namespace tutti::cluster
