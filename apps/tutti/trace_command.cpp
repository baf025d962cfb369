// trace_command: reads, sums up, prints.
#include <apps/tutti/trace_command.hpp>

#include <apps/tutti/printable.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/redacted.hpp>
#include <tutti/trace/timeline_reader.hpp>
#include <tutti/trace/trace_summary.hpp>

#include <CLI/CLI.hpp>

#include <ostream>
#include <string>
#include <system_error>

namespace tutti::app {
namespace {

constexpr const char* help =
    R"(Prints what a timeline says that a program has recorded (--tutti-trace FILE,
TUTTI_TRACE=FILE, or a trace_recorder): how each thread spent its time, how
long its own phases (trace_span) and its tasks took, what was waited for, and
how parallel the program can be: all work, divided by the longest chain of work
in which each piece had to wait for the one before.

The file itself opens in https://ui.perfetto.dev and in chrome://tracing.

Examples:
  my_program --tutti-trace run.json && tutti trace run.json
  TUTTI_TRACE=run.%p.json my_program      %p: the number of the process

)";

}  // namespace

CLI::App* add_trace_command(CLI::App& app, trace_options_of_command& options) {
  CLI::App* trace = app.add_subcommand("trace", "say what a recorded timeline shows");
  trace->add_option("FILE", options.file, "a timeline that a program has recorded")->required();
  trace->add_option("--lines", options.lines, "at most so many lines in each table; default: 12")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->allow_extra_args(false);
  trace->footer(help);
  return trace;
}

exit_code run_trace(const trace_options_of_command& options, std::ostream& out, std::ostream& err) {
  try {
    const timeline recorded = read_timeline_file(options.file);
    const std::string process = recorded.process.empty() ? "a program" : printable(recorded.process, 100);
    out << "The timeline \"" << printable(options.file) << "\" of " << process << " (process " << recorded.pid << ")\n";
    write_summary(summarise(recorded, options.lines), out, options.lines);
    return exit_code::success;
  } catch (const std::system_error& error) {
    err << "tutti: " << detail::redacted(error.what(), options.file) << '\n';
  } catch (const decode_error& error) {
    err << "tutti: " << detail::redacted(options.file) << ": " << error.what() << '\n';
  }
  return exit_code::no_text;
}

}  // namespace tutti::app
