// init: the first line of main; turns a started copy of the program into the worker that it is meant to be.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

/// Call it first in main. Takes the flags that begin with `--tutti-` out of the command line (none after a bare `--`).
/// In a worker process (`--tutti-worker=NAME`) it runs that worker and exits: it never returns. A NAME with a ':' is
/// the URL of a broker, and means the worker "cluster" (tutti::cluster). A worker name that nobody registered ends the
/// program with exit code 2, as does `--tutti-trace` where tutti::trace is not linked. Other flags that nobody knows
/// are kept for init_flag. Further calls only strip. Thread-safe.
void init(int& argc, char**& argv);

/// The same for code that is not main: reads the command line from /proc/self/cmdline.
void init();

/// True once init has been called.
[[nodiscard]] bool initialised() noexcept;

/// The value of `--tutti-NAME=value`, "" for a bare `--tutti-NAME`, nothing when absent or before init.
[[nodiscard]] std::optional<std::string> init_flag(std::string_view name);

/// All `--tutti-` flags that init has seen, whole, in order: for handing them on to a worker.
[[nodiscard]] std::vector<std::string> init_flags();

/// The words of the command line that the first call left, without the program's name: for a worker with options.
[[nodiscard]] std::vector<std::string> init_words();

/// Makes a flag with a value of a module known: `--tutti-NAME VALUE` becomes `--tutti-NAME=VALUE`, and init calls
/// `given(value)`, once, before it runs a worker. A flag without its value, or with two different ones in one
/// command line, ends the program with exit code 2. A static object of the module.
class init_option {
 public:
  /// `name` must outlive the object: a literal.
  init_option(std::string_view name, void (*given)(const std::string& value));
  ~init_option();
  init_option(const init_option&) = delete;
  init_option& operator=(const init_option&) = delete;

 private:
  std::string_view name_;
};

/// Registers what `--tutti-worker=NAME` runs. A static object of the module that starts such workers:
/// `const worker_main process_worker{"process", run_worker};`. `run` returns the exit code.
class worker_main {
 public:
  /// `name` must outlive the object: a literal.
  worker_main(std::string_view name, int (*run)());
  ~worker_main();
  worker_main(const worker_main&) = delete;
  worker_main& operator=(const worker_main&) = delete;

 private:
  std::string_view name_;
};

}  // namespace tutti
