// sqlite_database: one connection to the file in which the embedded broker and result store of a machine are.
#pragma once
#include <sys/types.h>
#include <tutti/cluster/inside/brokers/sqlite_bell.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>

struct sqlite3;
struct sqlite3_stmt;

namespace tutti::cluster::detail {

class sqlite_database;

/// What a statement gives, row by row. For use inside one call of read() or write().
class sqlite_rows {
 public:
  sqlite_rows(sqlite_database& database, sqlite3_stmt* statement) noexcept
      : database_(database), statement_(statement) {}
  ~sqlite_rows();
  sqlite_rows(const sqlite_rows&) = delete;
  sqlite_rows& operator=(const sqlite_rows&) = delete;

  /// The next row, the first one first; false when there is none. Throws broker_error.
  bool next();
  [[nodiscard]] std::int64_t number(int column) const noexcept;  ///< 0 when there is none
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] bool has(int column) const noexcept;  ///< false: NULL

 private:
  sqlite_database& database_;
  sqlite3_stmt* statement_;
};

/// A connection, thread-safe: one transaction at a time. A process has one for a file: what it writes leaves the pages
/// that this one keeps in memory as they are, while what others write makes it read them again. Opens the file when it
/// is first used, makes it when it is not there, and again in a forked child, which must not use its parent's. All
/// throw broker_error that names the file.
///
/// The file has a write-ahead log, and a commit is not forced to the disk: what is committed survives the death of any
/// process, and the file is whole after a loss of power, which may cost the last commits.
class sqlite_database {
 public:
  /// That of this process for the file, as long as somebody holds it. `patience`: how long other processes may keep the
  /// file locked; who has another one has a connection of its own.
  [[nodiscard]] static std::shared_ptr<sqlite_database> of(const std::string& path, std::chrono::milliseconds patience);

  sqlite_database(std::string absolute_path, std::chrono::milliseconds patience);
  ~sqlite_database();
  sqlite_database(const sqlite_database&) = delete;
  sqlite_database& operator=(const sqlite_database&) = delete;

  /// Calls `steps()`, which reads.
  template <class F>
  auto read(F steps) {
    const std::lock_guard lock(mutex_);
    make_ready();
    return steps();
  }
  /// Calls `steps()` in a transaction, that happens as a whole or, when anything throws, not at all.
  template <class F>
  auto write(F steps) {
    const std::lock_guard lock(mutex_);
    make_ready();
    transaction all(*this);
    if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
      steps();
      all.commit();
    } else {
      auto result = steps();
      all.commit();
      return result;
    }
  }

  // Inside these, `sql` being a literal:

  /// Begins a statement; texts in `values` must live as long as the rows.
  template <class... Values>
  sqlite_rows query(const char* sql, const Values&... values) {
    sqlite3_stmt* const statement = prepared(sql);
    int at = 0;
    (bind(statement, ++at, values), ...);
    return {*this, statement};
  }
  /// Carries a statement out; how many rows it changed.
  template <class... Values>
  std::int64_t run(const char* sql, const Values&... values) {
    {
      sqlite_rows rows = query(sql, values...);
      while (rows.next()) {
      }
    }
    return changes();
  }
  /// The number that a statement gives; 0 when it gives none.
  template <class... Values>
  std::int64_t number(const char* sql, const Values&... values) {
    sqlite_rows rows = query(sql, values...);
    return rows.next() ? rows.number(0) : 0;
  }
  [[nodiscard]] std::int64_t last_id() const noexcept;  ///< of the row that was inserted last

  /// Is there when read() or write() has once returned.
  [[nodiscard]] const std::shared_ptr<sqlite_bell>& bell() const noexcept { return bell_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  friend sqlite_rows;

  class transaction {
   public:
    explicit transaction(sqlite_database& database) : database_(database) { database_.run("BEGIN IMMEDIATE"); }
    ~transaction();
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    void commit();

   private:
    sqlite_database& database_;
    bool open_ = true;
  };

  void make_ready();
  void open();
  void set_up();
  void close() noexcept;
  bool step(sqlite3_stmt* statement);
  sqlite3_stmt* prepared(const char* sql);
  void bind(sqlite3_stmt* statement, int at, std::int64_t value);
  void bind(sqlite3_stmt* statement, int at, std::string_view value);
  void bind(sqlite3_stmt* statement, int at, const std::optional<std::int64_t>& value);
  std::int64_t changes() const noexcept;
  [[noreturn]] void fail(int code);
  [[noreturn]] void refuse(const std::string& why) const;
  static int when_busy(void* self, int before);

  const std::string path_;  // absolute: the program may change its directory
  const std::chrono::milliseconds patience_;
  std::mutex mutex_;
  sqlite3* connection_ = nullptr;
  ::pid_t opened_by_ = 0;
  std::unordered_map<const char*, sqlite3_stmt*> prepared_;
  std::chrono::steady_clock::time_point late_;  // when patience with others ends
  std::shared_ptr<sqlite_bell> bell_;
};

}  // namespace tutti::cluster::detail
