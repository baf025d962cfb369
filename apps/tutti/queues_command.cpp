#include <apps/tutti/queues_command.hpp>

#include <apps/tutti/printable.hpp>
#include <tutti/base/error.hpp>
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/control/control_envelope.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/message.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <istream>
#include <ostream>

namespace tutti::app {

namespace cl = cluster;

namespace {

constexpr std::string_view dead = ".dead";  // behind the name of a queue: of what its workers put aside

// The queues, each before that of what was put aside there if there is something in it.
std::vector<cl::queue_info> with_dead(cl::broker& broker, const std::vector<std::string>& names) {
  std::vector<cl::queue_info> found = broker.queues(names);
  std::vector<std::string> more;
  for (const cl::queue_info& queue : found) {
    const std::string name = queue.name + std::string(dead);
    if (!queue.name.ends_with(dead) && std::ranges::find(found, name, &cl::queue_info::name) == found.end())
      more.push_back(name);
  }
  if (more.empty()) return found;
  const std::vector<cl::queue_info> aside = broker.queues(more);
  std::vector<cl::queue_info> all;
  for (const cl::queue_info& queue : found) {
    all.push_back(queue);
    const auto its = std::ranges::find(aside, queue.name + std::string(dead), &cl::queue_info::name);
    if (its != aside.end() && its->waiting + its->held + its->delayed > 0) all.push_back(*its);
  }
  return all;
}

// Why a message was put aside; empty: it was not, or says nothing of it.
std::string death_reason(const std::string& text) {
  try {
    const std::string headers = cl::member_of(cl::object_parts(text), "headers");
    return cl::string_in(cl::member_of(cl::object_parts(headers), "x-death-reason")).value_or("");
  } catch (const decode_error&) {
    return {};
  }
}

std::string messages_json(const std::vector<std::string>& texts) {
  std::vector<std::string> messages;
  for (const std::string& text : texts) {
    const cl::message_name name = cl::name_of(text);
    const std::string reason = death_reason(text);
    messages.push_back(cl::join_object({{"id", cl::json_string(name.id)},
                                        {"task", cl::json_string(name.task)},
                                        {"reason", reason.empty() ? "null" : cl::json_string(reason)}}));
  }
  return cl::join_array(messages);
}

void write_messages(const std::string& queue, const std::vector<std::string>& texts, std::ostream& out) {
  out << fmt::format("\n{}:{}\n", printable(queue), texts.empty() ? " nothing waits" : "");
  for (const std::string& text : texts) {
    const cl::message_name name = cl::name_of(text);
    const std::string reason = death_reason(text);
    out << fmt::format("  {}  {}{}\n", name.id.empty() ? "(no id)" : printable(name.id),
                       name.task.empty() ? "(no task)" : printable(name.task),
                       reason.empty() ? "" : ": " + printable(reason));
  }
}

constexpr const char* queues_help =
    R"help(waiting: tasks that can be taken now; held: that workers of tutti have taken;
delayed: not due yet. What could not be run is in QUEUE.dead.

)help";

}  // namespace

CLI::App* add_queues_command(CLI::App& app, queues_options& options) {
  CLI::App* queues = app.add_subcommand("queues", "list the queues, and how many tasks wait there");
  queues->add_option("NAMES", options.names, "only these");
  add_broker_options(*queues, options.at, false);
  queues->add_option("--show", options.show, "and the first N messages that wait, which stay there; default: 10")
      ->type_name("N")
      ->expected(0, 1)
      ->default_str("10")
      ->check(CLI::Range(1, 10000));
  queues->add_flag("--json", options.json,
                   "one JSON array of objects: name, waiting, held, delayed; messages, with --show");
  queues->footer(queues_help);
  return queues;
}

CLI::App* add_purge_command(CLI::App& app, queues_options& options) {
  CLI::App* purge = app.add_subcommand("purge", "drop all tasks that wait in queues");
  purge->add_option("QUEUES", options.names, "which")->required();
  add_broker_options(*purge, options.at, false);
  purge->add_flag("-f,--force", options.force, "do not ask");
  purge->add_flag("--json", options.json, "one JSON object: how many were dropped, by queue");
  purge->footer("");
  return purge;
}

exit_code run_queues(const queues_options& options, std::ostream& out) {
  const cl::app where = open_existing(options.at);
  const std::vector<cl::queue_info> found = with_dead(*where.tasks(), options.names);
  if (options.json) {
    std::vector<std::string> texts;
    texts.reserve(found.size());
    for (const cl::queue_info& queue : found) {
      cl::json_members members = {{"name", cl::json_string(queue.name)},
                                  {"waiting", std::to_string(queue.waiting)},
                                  {"held", std::to_string(queue.held)},
                                  {"delayed", std::to_string(queue.delayed)}};
      if (options.show) members.emplace_back("messages", messages_json(where.tasks()->peek(queue.name, *options.show)));
      texts.push_back(cl::join_object(members));
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
  if (options.show) {
    for (const cl::queue_info& queue : found)
      write_messages(queue.name, where.tasks()->peek(queue.name, *options.show), out);
  }
  return exit_code::success;
}

exit_code run_purge(const queues_options& options, std::istream& in, bool terminal, std::ostream& out,
                    std::ostream& err) {
  const cl::app where = open_existing(options.at);
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
