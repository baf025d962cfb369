#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/brokers/sqlite_database.hpp>
#include <tutti/cluster/inside/brokers/sqlite_messages.hpp>
#include <tutti/cluster/inside/results/sqlite_results.hpp>
#include <tutti/process/process_futex.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <unordered_set>

namespace tutti::cluster {
namespace {

using detail::sqlite_database;
using detail::sqlite_rows;
using steady_time = std::chrono::steady_clock::time_point;
constexpr auto bell_kind = detail::sqlite_bell::kind::results;

constexpr std::int64_t chord_life = 30LL * 86'400'000;  // milliseconds after the last part of one that never ends

std::int64_t now() { return detail::milliseconds_of(std::chrono::system_clock::now()); }

class sqlite_watch final : public result_watch {
 public:
  sqlite_watch(const std::string& path, const broker_options& options)
      : database_(sqlite_database::of(path, options.patience)) {
    last_ = database_->read([&] { return database_->number("SELECT max(change) FROM result"); });
  }

  void add(std::span<const std::string> ids) override {
    {
      const std::lock_guard lock(mutex_);
      for (const std::string& id : ids) {
        ids_.insert(id);
        fresh_.push_back(id);
      }
    }
    database_->bell()->ring(bell_kind);
  }
  void remove(std::span<const std::string> ids) override {
    const std::lock_guard lock(mutex_);
    for (const std::string& id : ids) ids_.erase(id);
  }

  std::vector<std::pair<std::string, std::string>> next(std::chrono::nanoseconds patience) override {
    const steady_time late = tutti::detail::machine_time_after(patience);
    std::vector<std::pair<std::string, std::string>> came;
    for (;;) {
      const std::uint32_t seen = database_->bell()->count(bell_kind);
      if (woken_.exchange(false)) return came;  // rung after it was set, so one set from here on is heard
      bool reached = true;
      try {
        look(came);
      } catch (const broker_error&) {
        reached = false;
      }
      const steady_time moment = std::chrono::steady_clock::now();
      if (!came.empty() || moment >= late) return came;
      database_->bell()->wait(bell_kind, seen,
                              reached ? late : std::min(late, moment + std::chrono::milliseconds(200)));
    }
  }
  void wake() noexcept override {
    woken_ = true;
    database_->bell()->ring(bell_kind);
  }

 private:
  // Of an id that is added, a change is either found by its number, because the id was there when we came to it, or was
  // made before and is found by the id.
  void look(std::vector<std::pair<std::string, std::string>>& came) {
    database_->read([&] {
      {
        sqlite_rows rows =
            database_->query("SELECT change, id, text FROM result WHERE change > ? ORDER BY change", last_);
        while (rows.next()) {
          std::string id = rows.text(1);
          if (is_watched(id)) came.emplace_back(std::move(id), rows.text(2));
          last_ = rows.number(0);
        }
      }
      std::unique_lock lock(mutex_);
      looked_up_.insert(looked_up_.end(), fresh_.begin(), fresh_.end());
      fresh_.clear();
      lock.unlock();
      for (; !looked_up_.empty(); looked_up_.pop_back()) {
        const std::string& id = looked_up_.back();
        sqlite_rows rows =
            database_->query("SELECT text FROM result WHERE id = ? AND (expires IS NULL OR expires > ?)", id, now());
        if (rows.next() && is_watched(id)) came.emplace_back(id, rows.text(0));
      }
    });
  }
  bool is_watched(const std::string& id) {
    const std::lock_guard lock(mutex_);
    return ids_.contains(id);
  }

  const std::shared_ptr<sqlite_database> database_;
  std::int64_t last_ = 0;               // change that we have seen
  std::vector<std::string> looked_up_;  // were added, and are still to be looked up
  std::atomic<bool> woken_{false};
  std::mutex mutex_;  // of what follows
  std::unordered_set<std::string> ids_;
  std::vector<std::string> fresh_;  // added
};

class sqlite_results final : public result_store {
 public:
  sqlite_results(const broker_url& where, const broker_options& options)
      : database_(sqlite_database::of(where.path, options.patience)), options_(options) {}

  void store(std::span<const stored_result> results) override {
    if (results.empty()) return;
    database_->write([&] {
      const std::int64_t moment = now();
      for (const stored_result& result : results) {
        std::optional<std::int64_t> expires;
        if (const std::int64_t seconds = result.kept_for().count(); seconds > 0) expires = moment + seconds * 1000;
        if (result.is_success) {
          database_->run("INSERT OR REPLACE INTO result(id, success, expires, text) VALUES(?, 1, ?, ?)", result.id,
                         expires, result.text);
        } else {
          database_->run(
              "INSERT OR REPLACE INTO result(id, success, expires, text) SELECT ?1, ?5, ?2, ?3 WHERE NOT EXISTS"
              " (SELECT 1 FROM result WHERE id = ?1 AND (success = 1 OR success > ?5) AND (expires IS NULL OR expires "
              "> ?4))",
              result.id, expires, result.text, moment, std::int64_t{result.is_passing ? 0 : 2});
        }
      }
      // More than came in, so that the file stops growing.
      database_->run(
          "DELETE FROM result WHERE change IN"
          " (SELECT change FROM result WHERE expires <= ? ORDER BY expires LIMIT ?)",
          moment, static_cast<std::int64_t>(results.size()) * 2);
    });
    database_->bell()->ring(bell_kind);
  }

  std::vector<std::optional<std::string>> fetch(std::span<const std::string> ids) override {
    return database_->read([&] {
      std::vector<std::optional<std::string>> texts;
      for (const std::string& id : ids) {
        sqlite_rows rows =
            database_->query("SELECT text FROM result WHERE id = ? AND (expires IS NULL OR expires > ?)", id, now());
        texts.push_back(rows.next() ? std::optional(rows.text(0)) : std::nullopt);
      }
      return texts;
    });
  }
  void forget(std::span<const std::string> ids) override {
    database_->write([&] {
      for (const std::string& id : ids) database_->run("DELETE FROM result WHERE id = ?", id);
    });
  }
  std::unique_ptr<result_watch> watch() override { return std::make_unique<sqlite_watch>(database_->path(), options_); }

  void begin_chord(const std::string& group, std::int64_t size) override {
    database_->write([&] {
      const std::int64_t moment = now();
      database_->run("DELETE FROM chord_part WHERE chord IN (SELECT name FROM chord WHERE begun < ?)",
                     moment - chord_life);
      database_->run("DELETE FROM chord WHERE begun < ?", moment - chord_life);
      database_->run(
          "INSERT INTO chord(name, begun, size, parts) VALUES(?, ?, ?, 0)"
          " ON CONFLICT(name) DO UPDATE SET size = excluded.size",
          group, moment, size);
    });
  }
  std::optional<chord_parts> add_chord_part(const std::string& group, std::int64_t index, const std::string& id,
                                            const std::string& text) override {
    return database_->write([&]() -> std::optional<chord_parts> {
      if (database_->run("INSERT OR IGNORE INTO chord_part(chord, id, place, text) VALUES(?, ?, ?, ?)", group, id,
                         index, text) != 0)
        database_->run(
            "INSERT INTO chord(name, begun, parts) VALUES(?, ?, 1) ON CONFLICT(name) DO UPDATE SET parts = parts + 1,"
            " begun = excluded.begun",
            group, now());
      if (database_->number("SELECT size IS NOT NULL AND parts >= size FROM chord WHERE name = ?", group) == 0)
        return std::nullopt;
      database_->run("UPDATE chord SET completed = ? WHERE name = ? AND completed IS NULL", id, group);
      if (database_->number("SELECT completed = ? FROM chord WHERE name = ?", id, group) == 0) return std::nullopt;
      chord_parts all;
      sqlite_rows rows = database_->query("SELECT text FROM chord_part WHERE chord = ? ORDER BY place, id", group);
      while (rows.next()) all.push_back(rows.text(0));
      return all;
    });
  }
  void end_chord(const std::string& group) override {
    database_->write([&] {
      database_->run("DELETE FROM chord_part WHERE chord = ?", group);
      database_->run("DELETE FROM chord WHERE name = ?", group);
    });
  }

  std::string name() const override { return "sqlite:" + database_->path(); }

 private:
  const std::shared_ptr<sqlite_database> database_;
  const broker_options options_;
};

}  // namespace

std::shared_ptr<result_store> make_sqlite_results(const broker_url& where, const broker_options& options) {
  return std::make_shared<sqlite_results>(where, options);
}

}  // namespace tutti::cluster
