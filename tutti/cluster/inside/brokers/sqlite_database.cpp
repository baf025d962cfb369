#include <sched.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>
#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/inside/brokers/sqlite_database.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>
#include <thread>
#include <utility>

namespace tutti::cluster::detail {
namespace {

constexpr std::int64_t format = 2;            // of the tables; in the file's user_version
constexpr std::int64_t program = 0x74757469;  // "tuti", in the file's application_id
constexpr const char* tables = R"sql(
-- What was sent and is not settled. Each is in exactly one of the three tables that follow; it is written once and
-- dropped once, however long its text.
CREATE TABLE message(
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  priority INTEGER,                     -- as it was given
  returned INTEGER NOT NULL DEFAULT 0,  -- how often a consumer died with it
  text TEXT NOT NULL);
CREATE TABLE ready(                     -- can be had: by level, 0 is soonest, then by age
  queue TEXT NOT NULL, level INTEGER NOT NULL, id INTEGER NOT NULL,
  PRIMARY KEY(queue, level, id)) WITHOUT ROWID;
CREATE TABLE delayed(                   -- not before: milliseconds since 1970
  due INTEGER NOT NULL, id INTEGER NOT NULL, queue TEXT NOT NULL,
  PRIMARY KEY(due, id)) WITHOUT ROWID;
CREATE TABLE held(                      -- by a consumer, in its turn so many
  id INTEGER PRIMARY KEY, consumer INTEGER NOT NULL, turn INTEGER NOT NULL, queue TEXT NOT NULL);
CREATE TABLE consumer(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  boot TEXT NOT NULL, space TEXT NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL,  -- its process
  lease_end INTEGER NOT NULL);          -- milliseconds since that boot
CREATE TABLE broadcast(                 -- kept for as long as a listener may need to hear of it
  id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, text TEXT NOT NULL,
  sent INTEGER NOT NULL);               -- milliseconds since boot
CREATE TABLE result(
  change INTEGER PRIMARY KEY AUTOINCREMENT,  -- grows with every change of any result
  id TEXT NOT NULL UNIQUE,
  success INTEGER NOT NULL,
  expires INTEGER,                      -- milliseconds since 1970
  text TEXT NOT NULL);
CREATE INDEX result_expires ON result(expires) WHERE expires IS NOT NULL;
CREATE TABLE chord(
  name TEXT PRIMARY KEY, begun INTEGER NOT NULL, size INTEGER, parts INTEGER NOT NULL,
  completed TEXT) WITHOUT ROWID;        -- by the part of this task
CREATE INDEX chord_begun ON chord(begun);
CREATE TABLE chord_part(
  chord TEXT NOT NULL, id TEXT NOT NULL, place INTEGER NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY(chord, id));
)sql";

std::string absolute(const std::string& path) {
  std::error_code ignored;
  const auto result = std::filesystem::absolute(path, ignored);
  return ignored ? path : result.string();
}

struct open_databases {
  std::mutex mutex;
  std::map<std::pair<std::string, std::chrono::milliseconds>, std::weak_ptr<sqlite_database>> all;
};

}  // namespace

sqlite_rows::~sqlite_rows() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);  // the texts may go now
}
bool sqlite_rows::next() { return database_.step(statement_); }
std::int64_t sqlite_rows::number(int column) const noexcept { return sqlite3_column_int64(statement_, column); }
std::string sqlite_rows::text(int column) const {
  const void* const data = sqlite3_column_blob(statement_, column);  // before its size
  return {static_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}
bool sqlite_rows::has(int column) const noexcept { return sqlite3_column_type(statement_, column) != SQLITE_NULL; }

sqlite_database::transaction::~transaction() {
  if (!open_ || sqlite3_get_autocommit(database_.connection_) != 0) return;  // some failures end it by themselves
  sqlite3_exec(database_.connection_, "ROLLBACK", nullptr, nullptr, nullptr);
}
void sqlite_database::transaction::commit() {
  database_.run("COMMIT");
  open_ = false;
}

std::shared_ptr<sqlite_database> sqlite_database::of(const std::string& path, std::chrono::milliseconds patience) {
  const auto key = std::pair(absolute(path), patience);
  auto& open = process_wide<open_databases>();
  const std::lock_guard lock(open.mutex);
  std::erase_if(open.all, [](const auto& one) { return one.second.expired(); });
  std::shared_ptr<sqlite_database> result = open.all[key].lock();
  if (!result) open.all[key] = result = std::make_shared<sqlite_database>(key.first, patience);
  return result;
}

sqlite_database::sqlite_database(std::string absolute_path, std::chrono::milliseconds patience)
    : path_(std::move(absolute_path)), patience_(patience) {}

sqlite_database::~sqlite_database() {
  if (opened_by_ == ::getpid()) close();  // a child's parent still uses it
}

void sqlite_database::close() noexcept {
  for (const auto& [sql, statement] : prepared_) sqlite3_finalize(statement);
  prepared_.clear();
  sqlite3_close(connection_);
  connection_ = nullptr;
}

void sqlite_database::refuse(const std::string& why) const { throw broker_error("sqlite:" + path_ + ": " + why); }

void sqlite_database::fail(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
      refuse("others keep it locked for more than " + std::to_string(patience_.count()) +
             " ms; one of them may be stopped");
    case SQLITE_NOTADB: refuse("this file is no database");
    case SQLITE_CORRUPT: refuse("this database is damaged");
    case SQLITE_TOOBIG: throw broker_refusal("sqlite:" + path_ + ": a text is too long for it, which takes 1 GB");
    case SQLITE_FULL: refuse("no space is left for it");
    case SQLITE_READONLY: refuse("cannot be written");
    default: break;
  }
  std::string why = connection_ != nullptr ? sqlite3_errmsg(connection_) : sqlite3_errstr(code);
  const int reason = connection_ != nullptr ? sqlite3_system_errno(connection_) : 0;
  if ((code & 0xff) != SQLITE_ERROR && reason != 0) why += " (" + std::generic_category().message(reason) + ")";
  refuse(why);
}

int sqlite_database::when_busy(void* self, int before) {
  if (std::chrono::steady_clock::now() >= static_cast<sqlite_database*>(self)->late_) return 0;
  if (before < 10) {
    ::sched_yield();  // transactions are short
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(std::min(before * 10, 2000)));
  }
  return 1;
}

void sqlite_database::make_ready() {
  late_ = std::chrono::steady_clock::now() + patience_;
  if (connection_ != nullptr && opened_by_ != ::getpid()) {
    // What the parent has open must not even be closed here.
    connection_ = nullptr;
    prepared_.clear();
  }
  if (connection_ == nullptr) open();
  int moved = 0;
  sqlite3_file_control(connection_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (moved != 0) refuse("the file was deleted, moved or replaced while it was in use; what is in it cannot be kept");
}

void sqlite_database::open() {
  struct stat found{};
  if (::stat(path_.c_str(), &found) == 0 && !S_ISREG(found.st_mode)) refuse("this is no file");
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(path_.c_str(), &opened,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  connection_ = opened;
  opened_by_ = ::getpid();
  try {
    if (code != SQLITE_OK) fail(code);
    sqlite3_extended_result_codes(opened, 1);
    sqlite3_busy_handler(opened, &when_busy, this);
    if (sqlite3_db_readonly(opened, "main") == 1) refuse("cannot be written");
    set_up();
    if (!bell_) bell_ = std::make_shared<sqlite_bell>(path_ + "-bell");
  } catch (...) {
    close();
    throw;
  }
}

void sqlite_database::set_up() {
  const auto is_ours = [&] {
    const std::int64_t made_by = number("PRAGMA application_id"), version = number("PRAGMA user_version");
    if (made_by == 0 && version == 0 && number("SELECT count(*) FROM sqlite_schema") == 0) return false;
    if (made_by != program) refuse("this database belongs to another program");
    if (version != format)
      refuse("made by " + std::string(version > format ? "a newer" : "an older") + " version of tutti: its format is " +
             std::to_string(version) + ", this one knows " + std::to_string(format));
    return true;
  };
  // First: nothing of others is touched. In one transaction, as somebody else may be making the file.
  run("BEGIN");
  const bool was_ours = is_ours();
  run("COMMIT");
  {
    sqlite_rows mode = query("PRAGMA journal_mode=WAL");
    if (!mode.next() || mode.text(0) != "wal") refuse("its file system has no shared memory, which is needed");
  }
  run("PRAGMA synchronous=NORMAL");
  run("PRAGMA wal_autocheckpoint=4000");
  run("PRAGMA cache_size=-16000");
  // The last one to close it leaves the log: a forked child of a user is not counted as one.
  int keep = 1;
  sqlite3_file_control(connection_, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
  if (was_ours) return;
  transaction all(*this);
  if (!is_ours()) {
    if (const int code = sqlite3_exec(connection_, tables, nullptr, nullptr, nullptr); code != SQLITE_OK) fail(code);
    static_assert(program == 0x74757469 && format == 2);
    run("PRAGMA application_id=0x74757469");
    run("PRAGMA user_version=2");
  }
  all.commit();
}

bool sqlite_database::step(sqlite3_stmt* statement) {
  for (;;) {
    const int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    sqlite3_reset(statement);
    // Some locks are not waited for by SQLite itself: those of a recovery, and of a file that is just made.
    const bool locked = (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_PROTOCOL;
    if (!locked || std::chrono::steady_clock::now() >= late_) fail(code);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

sqlite3_stmt* sqlite_database::prepared(const char* sql) {
  sqlite3_stmt*& statement = prepared_[sql];
  while (statement == nullptr) {
    const int code = sqlite3_prepare_v3(connection_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code == SQLITE_OK) break;
    const bool locked = (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_PROTOCOL;
    if (!locked || std::chrono::steady_clock::now() >= late_) fail(code);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return statement;
}

void sqlite_database::bind(sqlite3_stmt* statement, int at, std::int64_t value) {
  if (const int code = sqlite3_bind_int64(statement, at, value); code != SQLITE_OK) fail(code);
}
void sqlite_database::bind(sqlite3_stmt* statement, int at, std::string_view value) {
  const char* const data = value.data() != nullptr ? value.data() : "";  // which would be NULL
  const int code = sqlite3_bind_text64(statement, at, data, value.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (code != SQLITE_OK) fail(code);
}
void sqlite_database::bind(sqlite3_stmt* statement, int at, const std::optional<std::int64_t>& value) {
  if (value) return bind(statement, at, *value);
  if (const int code = sqlite3_bind_null(statement, at); code != SQLITE_OK) fail(code);
}

std::int64_t sqlite_database::changes() const noexcept { return sqlite3_changes64(connection_); }
std::int64_t sqlite_database::last_id() const noexcept { return sqlite3_last_insert_rowid(connection_); }

}  // namespace tutti::cluster::detail
