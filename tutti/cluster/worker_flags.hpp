// worker_flags: a worker from a command line: `PROGRAM --tutti-worker URL FLAGS`, `tutti worker FLAGS`.
#pragma once
#include <tutti/base/log.hpp>
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/worker.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::cluster {

/// What a command line says of a worker.
struct worker_flags {
  app_options app = {};
  worker_options worker = {.handle_signals = true};
  std::vector<std::string> libraries = {};  ///< to load, for their tasks
  std::optional<log_level> level = {};      ///< of the log; absent: as it is
  bool quiet = false;                       ///< no banner
  bool help = false;                        ///< only worker_flags_help() is wanted
};

/// Reads `words`, all of which must be flags; `--config FILE` is read at once, and other flags go before it, wherever
/// they stand. `given`: what holds without flags. Throws std::invalid_argument that names the flag, its value and what
/// is known; what app::options_from_file throws.
[[nodiscard]] worker_flags parse_worker_flags(std::span<const std::string> words, app_options given = {});

/// The flags, for people: a line or more for each.
[[nodiscard]] std::string_view worker_flags_help() noexcept;

/// Loads the libraries, says on standard error and in the log what it is, and runs until the worker is shut down. The
/// libraries stay loaded. Returns worker::run()'s exit code. Throws os_error that names a library that cannot be
/// loaded, and what app and worker throw.
int run_worker(const worker_flags& flags);

/// What `--tutti-worker URL` runs: the words that init left are flags. Errors go to standard error: exit code 2 for a
/// command line that is wrong, 3 for settings that cannot be read, 1 for others.
int run_worker_from_flags();

}  // namespace tutti::cluster
