#include <apps/tutti/queues_command.hpp>

#include <apps/tutti/printable.hpp>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <istream>
#include <ostream>

namespace tutti::app {

namespace cl = cluster;

CLI::App* add_queues_command(CLI::App& app, queues_options& options) {
  CLI::App* queues = app.add_subcommand("queues", "list the queues, and how many tasks wait there");
  queues->add_option("NAMES", options.names, "only these");
  add_broker_options(*queues, options.at, false);
  queues->add_flag("--json", options.json, "one JSON array");
  return queues;
}

CLI::App* add_purge_command(CLI::App& app, queues_options& options) {
  CLI::App* purge = app.add_subcommand("purge", "drop all tasks that wait in queues");
  purge->add_option("QUEUES", options.names, "which")->required();
  add_broker_options(*purge, options.at, false);
  purge->add_flag("-f,--force", options.force, "do not ask");
  purge->add_flag("--json", options.json, "one JSON object: how many were dropped, by queue");
  return purge;
}

exit_code run_queues(const queues_options& options, std::ostream& out) {
  const std::vector<cl::queue_info> found = open_app(options.at).tasks()->queues(options.names);
  if (options.json) {
    std::vector<std::string> texts;
    texts.reserve(found.size());
    for (const cl::queue_info& queue : found) {
      texts.push_back(cl::join_object({{"name", cl::json_string(queue.name)},
                                       {"waiting", std::to_string(queue.waiting)},
                                       {"held", std::to_string(queue.held)},
                                       {"delayed", std::to_string(queue.delayed)}}));
    }
    out << cl::join_array(texts) << '\n';
    return exit_code::success;
  }
  std::size_t longest = 5;
  for (const cl::queue_info& queue : found) longest = std::max(longest, code_points(printable(queue.name)));
  out << fmt::format("{:<{}}  {:>9}  {:>7}  {:>9}\n", "queue", longest, "waiting", "held", "delayed");
  for (const cl::queue_info& queue : found) {
    out << fmt::format("{:<{}}  {:>9}  {:>7}  {:>9}\n", printable(queue.name), longest, queue.waiting, queue.held,
                       queue.delayed);
  }
  return exit_code::success;
}

exit_code run_purge(const queues_options& options, std::istream& in, bool terminal, std::ostream& out,
                    std::ostream& err) {
  const cl::app where = open_app(options.at);
  if (!options.force) {
    if (!terminal) throw std::invalid_argument("nobody can be asked here whether to drop tasks: say so with -f");
    err << fmt::format("Drop all tasks that wait in {}, at {}? [y/N] ",
                       printable(fmt::format("{}", fmt::join(options.names, ", "))), where.tasks()->name())
        << std::flush;
    std::string answer;
    std::getline(in, answer);
    if (answer != "y" && answer != "Y" && answer != "yes") {
      err << "tutti: nothing was dropped\n";
      return exit_code::failure;
    }
  }
  std::vector<std::pair<std::string, std::string>> dropped;
  for (const std::string& queue : options.names) {
    dropped.emplace_back(queue, std::to_string(where.tasks()->purge(queue)));
    if (!options.json) out << printable(queue) << ": " << dropped.back().second << " dropped\n";
  }
  if (options.json) out << cl::join_object(dropped) << '\n';
  return exit_code::success;
}

}  // namespace tutti::app
