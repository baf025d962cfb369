// sqlite_file: what a test does to a database file behind the back of who uses it.
#pragma once
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdint>
#include <string>

namespace tutti_test {

class sqlite_file {
 public:
  explicit sqlite_file(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &database_), SQLITE_OK) << path;
    sqlite3_busy_timeout(database_, 30'000);
  }
  ~sqlite_file() { sqlite3_close(database_); }
  sqlite_file(const sqlite_file&) = delete;
  sqlite_file& operator=(const sqlite_file&) = delete;

  /// Fails with the error when there is one.
  void run(const std::string& sql) const {
    char* error = nullptr;
    sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, &error);
    EXPECT_EQ(error, nullptr) << sql << ": " << error;
    sqlite3_free(error);
  }
  /// The first number that it gives.
  std::int64_t number(const std::string& sql) const {
    std::int64_t result = -1;
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(database_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK) << sql;
    if (sqlite3_step(statement) == SQLITE_ROW) result = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return result;
  }

 private:
  sqlite3* database_ = nullptr;
};

}  // namespace tutti_test
