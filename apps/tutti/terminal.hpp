// terminal: what is known about the terminal, and a line on it that says how far we are.
#pragma once
#include <iosfwd>
#include <string_view>

namespace tutti::app {

/// The columns of the terminal that is standard output; 80 where it is none.
int terminal_columns();

/// Whether the locale says that text is UTF-8 (LC_ALL, LC_CTYPE, LANG, the first that is set).
bool speaks_utf8();

/// One line that is written over itself. Not thread-safe.
class run_counter {
 public:
  /// Silent unless `shown`.
  run_counter(std::ostream& out, bool shown) noexcept : out_(out), shown_(shown) {}
  ~run_counter() { clear(); }
  run_counter(const run_counter&) = delete;
  run_counter& operator=(const run_counter&) = delete;

  /// "run 3 of 20: 4 workers"
  void show(std::string_view what, int done, int all);
  /// Takes the line away.
  void clear();

 private:
  std::ostream& out_;
  bool shown_;
  bool dirty_ = false;
};

}  // namespace tutti::app
