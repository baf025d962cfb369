#include <apps/tutti/command_line.hpp>

#include <apps/tutti/cluster_commands.hpp>
#include <apps/tutti/demo.hpp>
#include <apps/tutti/executor_list.hpp>
#include <apps/tutti/measuring.hpp>
#include <apps/tutti/run_program.hpp>
#include <apps/tutti/run_ranks.hpp>
#include <apps/tutti/trace_command.hpp>

#include <tutti/base/redacted.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <ostream>
#include <utility>

namespace tutti::app {
namespace {

constexpr const char* exit_codes = R"(Exit codes:
  0  success
  1  executors disagree, or a run, a program or a task failed; no worker answered
  2  the command line is wrong
  3  PATH or FILE does not exist, cannot be read, holds no text or no timeline; PROGRAM
     cannot be started; a task has not ended
  4  no program that starts ranks
  `tutti run` ends as its program does)";

constexpr const char* demo_help =
    R"(Counts the words of every text file below PATH: first in a plain loop, then on
each executor, and checks that all agree to the word. Prints seconds, MB/s,
speedup over the plain loop, efficiency (speedup per worker), the serial
fraction (Karp and Flatt: the share of the work that did not run in parallel),
the memory that the run added, and the twenty commonest words.

A word is a run of UTF-8 letters, marks and digits, counted as written: The and
the are two. Binary files (NUL in the first 8 KiB) and unreadable ones are
skipped and counted; symbolic links are not followed. Each run is repeated up to
three times while it is short; the fastest counts. A progress bar appears on
standard error where that is a terminal.

)";

constexpr const char* demo_examples = R"(Examples:
  tutti demo                        this machine's headers and documentation
  tutti demo ~/src --on threads     one directory, on all cores
  tutti demo /var/log --on threads:1 --on threads:2 --on threads:4

)";

// An error without the passwords that words of the command line, or their values, may have.
std::string without_passwords(std::string text, int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const std::size_t equals = word.find('=');
    text = detail::redacted(std::move(text), word);
    if (equals != word.npos) text = detail::redacted(std::move(text), word.substr(equals + 1));
    if (word.starts_with('-') && word.size() > 2) text = detail::redacted(std::move(text), word.substr(2));
  }
  return text;
}

// CLI11's words for the two commonest mistakes name neither the value nor the known ones.
std::string explain(const CLI::App& app, const CLI::ParseError& error, int argc, const char* const* argv) {
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands({})) commands.push_back(command->get_name());
  const CLI::App* chosen = app.get_subcommands().empty() ? &app : app.get_subcommands().front();
  if (chosen == &app) {
    if (argc < 2) return fmt::format("a command is missing; known: {}", fmt::join(commands, ", "));
    const std::string_view first = argv[1];
    if (!first.starts_with('-'))
      return fmt::format("unknown command \"{}\"; known: {}", first, fmt::join(commands, ", "));
  }
  // Behind its own options are another program's words.
  if (chosen->get_name() == "run" && dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr) return error.what();
  const std::vector<std::string> extra = chosen->remaining();
  const std::vector<std::string> extras = extra.empty() ? app.remaining() : extra;
  if (!extras.empty()) {
    std::vector<std::string> options;
    for (const CLI::Option* option : chosen->get_options()) options.push_back(option->get_name());
    const bool is_option = extras.front().starts_with('-');
    return fmt::format("{} \"{}\"; known: {}", is_option ? "unknown option" : "unexpected argument",
                       is_option ? extras.front().substr(0, extras.front().find('=')) : extras.front(),
                       fmt::join(options, ", "));
  }
  return error.what();
}

}  // namespace

int run_command(int argc, const char* const* argv, std::ostream& out, std::ostream& err, bool terminal) {
  if (is_worker_command(argc, argv)) return run_worker_command(argc, argv, out, err);
  CLI::App app("tutti: one task API for everything a program can run on.", "tutti");
  app.set_version_flag("--version", "tutti " TUTTI_VERSION, "print the version and exit");
  app.set_help_flag("-h,--help", "print this help and exit");
  app.require_subcommand(1);
  app.footer(std::string("`tutti COMMAND --help` says more about a command.\n\n") + exit_codes);

  demo_options options;
  options.show_progress = terminal;
  std::string path;
  CLI::App* demo = app.add_subcommand("demo", "count the words of many files, serially and on every executor");
  demo->add_option("PATH", path, "a directory or file; default: /usr/include and /usr/share/doc");
  demo->add_option("--on", options.on, "such as threads:4 (see `tutti executors`); may be repeated; default: all")
      ->type_name("SPEC")
      ->allow_extra_args(false);
  demo->footer(std::string(demo_help) + demo_examples + exit_codes);

  CLI::App* executors =
      app.add_subcommand("executors", "list where code can run here, and what is missing for the rest");
  executors->footer(exit_codes);

  measuring measured(app, exit_codes, terminal);
  trace_options_of_command trace_options;
  CLI::App* trace = add_trace_command(app, trace_options);
  trace->footer(trace->get_footer() + exit_codes);

  run_ranks_options ranks_options;
  CLI::App* ranks = add_run_command(app, ranks_options);
  ranks->footer(ranks->get_footer() + exit_codes);

  const cluster_commands tasks(app, exit_codes);

  const auto refuse = [&](const std::exception& why, exit_code code) {
    err << "tutti: " << without_passwords(why.what(), argc, argv) << '\n';
    return static_cast<int>(code);
  };

  try {
    const int own = measuring::own_words(argc, argv);
    const std::vector<std::string> words = guarded_words(own, argv);
    std::vector<const char*> pointers;
    pointers.reserve(words.size());
    for (const std::string& word : words) pointers.push_back(word.c_str());
    app.parse(own, pointers.data());
    measured.take_programs(argc, argv);
    if (ranks->parsed()) take_ranks_program(*ranks, ranks_options, {argv + std::min(own + 1, argc), argv + argc});
    if (ranks_options.hosts) (void)parse_hosts(*ranks_options.hosts);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, out, err);  // help and version
    const std::string command = app.get_subcommands().empty() ? "" : app.get_subcommands().front()->get_name() + " ";
    err << "tutti: " << without_passwords(explain(app, error, argc, argv), argc, argv) << "\nSee `tutti " << command
        << "--help`.\n";
    return static_cast<int>(exit_code::usage);
  } catch (const std::invalid_argument& error) {
    return refuse(error, exit_code::usage);
  }

  try {
    if (ranks->parsed()) return run_ranks(ranks_options, out, err);
    exit_code code = exit_code::success;
    if (const auto measured_code = measured.run(out, err)) {
      code = *measured_code;
    } else if (const auto tasks_code = tasks.run(out, err)) {
      code = *tasks_code;
    } else if (executors->parsed()) {
      write_executors(out);
    } else if (trace->parsed()) {
      code = run_trace(trace_options, out, err);
    } else {
      if (!path.empty()) options.roots = {path};
      code = run_demo(options, out, err);
    }
    if (out.flush()) return static_cast<int>(code);
    err << "tutti: the results could not be written: is the disk full?\n";
    return static_cast<int>(exit_code::failure);
  } catch (const not_a_program& error) {
    return refuse(error, exit_code::no_program);
  } catch (const no_launcher& error) {
    return refuse(error, exit_code::no_launcher);
  } catch (const std::exception& error) {
    return refuse(error, exit_code::failure);
  }
}

}  // namespace tutti::app
