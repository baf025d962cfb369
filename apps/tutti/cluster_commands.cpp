#include <apps/tutti/cluster_commands.hpp>

#include <tutti/base/error.hpp>
#include <tutti/cluster/worker_flags.hpp>

#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <string_view>

namespace tutti::app {
namespace {

constexpr const char* worker_about = "run tasks that wait at a broker, from libraries that have them";

constexpr const char* worker_help =
    R"(Takes tasks from queues and runs them until it is told to stop: a first TERM or
INT lets running tasks end, a second INT, or QUIT, does not. Any program that
calls tutti::init and links tutti::cluster is the same worker for its own tasks:
PROGRAM --tutti-worker URL [FLAGS].

Examples:
  tutti worker --broker redis://localhost/0 --load ./libmytasks.so -Q math -c 4
  tutti worker --broker sqlite:tasks.db --load ./libmytasks.so -P processes
)";

}  // namespace

cluster_commands::cluster_commands(CLI::App& app, const std::string& footer) {
  app.add_subcommand("worker", worker_about);
  call_ = add_call_command(app, call_options_);
  result_ = add_result_command(app, result_options_);
  status_ = add_status_command(app, status_options_);
  inspect_ = add_inspect_command(app, inspect_options_);
  control_ = add_control_command(app, control_options_);
  queues_ = add_queues_command(app, queues_options_);
  purge_ = add_purge_command(app, purge_options_);
  for (CLI::App* command : {call_, result_, status_, inspect_, control_, queues_, purge_})
    command->footer(command->get_footer() + footer);
}

std::optional<exit_code> cluster_commands::run(std::ostream& out, std::ostream& err) const {
  try {
    if (call_->parsed()) return run_call(call_options_, out, err);
    if (result_->parsed()) return run_result(result_options_, out, err);
    if (status_->parsed()) return run_status(status_options_, out, err);
    if (inspect_->parsed()) return run_inspect(inspect_options_, out, err);
    if (control_->parsed()) return run_control(control_options_, out, err);
    if (queues_->parsed()) return run_queues(queues_options_, out);
    if (purge_->parsed()) return run_purge(purge_options_, std::cin, ::isatty(STDIN_FILENO) == 1, out, err);
    return std::nullopt;
  } catch (const broker_error& away) {
    err << "tutti: " << away.what()
        << "\n--broker or TUTTI_BROKER names the broker, --backend or TUTTI_BACKEND where results are kept.\n";
    return exit_code::failure;
  } catch (const no_settings& unread) {
    err << "tutti: " << unread.what() << '\n';
    return exit_code::no_settings;
  } catch (const std::invalid_argument& bad) {
    err << "tutti: " << bad.what() << '\n';
  } catch (const bad_spec& bad) {
    err << "tutti: " << bad.what() << '\n';
  }
  return exit_code::usage;
}

bool is_worker_command(int argc, const char* const* argv) { return argc > 1 && argv[1] == std::string_view("worker"); }

int run_worker_command(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  const auto refuse = [&](const std::exception& why, exit_code code) {
    err << "tutti: " << why.what() << '\n';
    if (code == exit_code::usage) err << "See `tutti worker --help`.\n";
    return static_cast<int>(code);
  };
  try {
    const std::vector<std::string> words(argv + std::min(argc, 2), argv + argc);
    cluster::worker_flags flags;
    try {
      flags = cluster::parse_worker_flags(words, cluster::app::options_from_environment());
    } catch (const os_error& unread) {  // the file with settings
      return refuse(unread, exit_code::no_settings);
    }
    if (!flags.help) return cluster::run_worker(flags);
    out << worker_about << "\nUsage: tutti worker [FLAGS]\n\nFlags:\n"
        << cluster::worker_flags_help() << '\n'
        << worker_help;
    return 0;
  } catch (const std::invalid_argument& bad) {
    return refuse(bad, exit_code::usage);
  } catch (const bad_spec& bad) {
    return refuse(bad, exit_code::usage);
  } catch (const decode_error& bad) {
    return refuse(bad, exit_code::usage);
  } catch (const std::exception& failed) {
    return refuse(failed, exit_code::failure);
  }
}

}  // namespace tutti::app
