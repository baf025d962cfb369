#include <apps/tutti/remote_command.hpp>

#include <apps/tutti/printable.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/redacted.hpp>
#include <tutti/cluster/control/control_envelope.hpp>
#include <tutti/cluster/control_client.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <map>
#include <ostream>
#include <span>

namespace tutti::app {
namespace {

namespace cl = cluster;
using answers = std::map<std::string, std::string>;  // JSON by worker

// A word of a command: a text, or a number.
struct word {
  const char* name;
  bool is_number = false;
};

// A command of Celery's workers, with Celery's names for what it takes.
struct verb {
  const char* name;
  std::vector<word> words = {};
  std::size_t least = 0;       // how many of the words must be there
  const char* rest = nullptr;  // the name of what all further words are
  bool needs_rest = false;
};

const std::vector<verb>& inspect_verbs() {
  static const std::vector<verb> verbs = {
      {.name = "active"},
      {.name = "active_queues"},
      {.name = "clock"},
      {.name = "conf"},
      {.name = "memdump"},
      {.name = "memsample"},
      {.name = "ping"},
      {.name = "query_task", .rest = "ids", .needs_rest = true},
      {.name = "registered", .rest = "taskinfoitems"},
      {.name = "report"},
      {.name = "reserved"},
      {.name = "revoked"},
      {.name = "scheduled"},
      {.name = "stats"},
  };
  return verbs;
}

const std::vector<verb>& control_verbs() {
  static const std::vector<verb> verbs = {
      {.name = "add_consumer", .words = {{"queue"}}, .least = 1},
      {.name = "autoscale", .words = {{"max", true}, {"min", true}}, .least = 1},
      {.name = "cancel_consumer", .words = {{"queue"}}, .least = 1},
      {.name = "disable_events"},
      {.name = "enable_events"},
      {.name = "heartbeat"},
      {.name = "pool_grow", .words = {{"n", true}}},
      {.name = "pool_restart"},
      {.name = "pool_shrink", .words = {{"n", true}}},
      {.name = "rate_limit", .words = {{"task_name"}, {"rate_limit"}}, .least = 2},
      {.name = "revoke", .rest = "task_id", .needs_rest = true},
      {.name = "shutdown"},
      {.name = "terminate", .words = {{"signal"}}, .least = 1, .rest = "task_id", .needs_rest = true},
      {.name = "time_limit", .words = {{"task_name"}, {"soft", true}, {"hard", true}}, .least = 2},
  };
  return verbs;
}

const verb& find_verb(const std::vector<verb>& verbs, const std::string& name) {
  const auto found = std::ranges::find_if(verbs, [&](const verb& v) { return name == v.name; });
  if (found != verbs.end()) return *found;
  std::vector<std::string> names;
  names.reserve(verbs.size());
  for (const verb& v : verbs) names.emplace_back(v.name);
  throw std::invalid_argument(
      fmt::format("unknown command \"{}\"; known: {}", detail::redacted(name), fmt::join(names, ", ")));
}

std::string usage_of(const verb& command) {
  std::string usage = command.name;
  for (std::size_t i = 0; i < command.words.size(); ++i) {
    const std::string name = command.words[i].name;
    usage += i < command.least ? " " + name : " [" + name + "]";
  }
  if (command.rest != nullptr) {
    const std::string name = std::string(command.rest) + "...";
    usage += command.needs_rest ? " " + name : " [" + name + "]";
  }
  return usage;
}

std::string number_text(const verb& command, const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [at, failed] = std::from_chars(text.data(), end, value);
  if (failed == std::errc() && at == end) return text;
  throw std::invalid_argument(fmt::format("\"{}\" is no number: {}", detail::redacted(text), usage_of(command)));
}

cl::json_members arguments_of(const verb& command, const std::vector<std::string>& words) {
  const std::size_t named = std::min(words.size(), command.words.size());
  const bool too_many = words.size() > named && command.rest == nullptr;
  const bool too_few = named < command.least || (command.needs_rest && words.size() == named);
  if (too_many || too_few) throw std::invalid_argument(fmt::format("it is used as: {}", usage_of(command)));
  cl::json_members arguments;
  for (std::size_t i = 0; i < named; ++i) {
    const word& w = command.words[i];
    arguments.emplace_back(w.name, w.is_number ? number_text(command, words[i]) : cl::json_string(words[i]));
  }
  if (command.rest != nullptr && words.size() > named) {
    std::vector<std::string> texts;
    for (const std::string& text : std::span(words).subspan(named)) texts.push_back(cl::json_string(text));
    arguments.emplace_back(command.rest, cl::join_array(texts));
  }
  return arguments;
}

exit_code nobody(const remote_options& options, std::ostream& err) {
  err << fmt::format(
      "tutti: no worker answered within {} s at {}: `tutti worker` starts one there, a busy one may need a longer "
      "--timeout\n",
      options.timeout, open_existing(options.at).tasks()->name());
  return exit_code::failure;
}

// "ok" or "error" of an answer that is such an object, else nothing.
std::string outcome_of(const std::string& answer) {
  if (!answer.starts_with('{')) return {};
  const cl::json_members members = cl::object_parts(answer);
  if (members.size() != 1) return {};
  const std::string& name = members.front().first;
  return name == "ok" || name == "error" ? name : std::string();
}

exit_code tell(const answers& said, const remote_options& options, std::ostream& out, std::ostream& err) {
  if (said.empty()) return nobody(options, err);
  exit_code code = exit_code::success;
  if (options.json) {
    out << cl::join_object({said.begin(), said.end()}) << '\n';
    for (const auto& [worker, answer] : said) {
      if (outcome_of(answer) == "error") code = exit_code::failure;
    }
    return code;
  }
  for (const auto& [worker, answer] : said) {
    const std::string outcome = outcome_of(answer);
    if (outcome == "error") code = exit_code::failure;
    out << printable(worker) << ": " << (outcome == "error" ? "error" : "ok") << '\n';
    if (answer == "null") continue;
    out << readable(outcome.empty() ? answer : cl::object_parts(answer).front().second, "  ");
  }
  return code;
}

void add_common(CLI::App& command, remote_options& options) {
  add_broker_options(command, options.at, false);
  command.add_option("-d,--destination", options.workers, "only these workers: a@host,b@host")
      ->type_name("NAMES")
      ->delimiter(',')
      ->allow_extra_args(false);
  take_seconds(*command.add_option("-t,--timeout", options.timeout, "how long to wait for answers; default: 1"), 0.001,
               1e6);
  command.add_flag("-j,--json", options.json, "one JSON object of what each worker answers");
}

std::string footer_of(const std::vector<verb>& verbs) {
  std::string text = "Commands:\n";
  for (const verb& v : verbs) text += "  " + usage_of(v) + '\n';
  return text + '\n';
}

answers ask(const remote_options& options, const std::string& command, const cl::json_members& arguments = {}) {
  return cl::ask_workers(open_existing(options.at), command, cl::join_object(arguments), options.workers,
                         milliseconds_of(options.timeout));
}

// What a worker's numbers say, and how many tasks it runs.
struct load {
  std::string running = "?", concurrency = "?", processed, uptime = "?";
};

std::string or_unknown(const std::string& json) { return json == "null" ? "?" : json; }

load load_of(const std::string& stats) {
  load found;
  const cl::json_members members = cl::object_parts(stats);
  if (const std::string pool = cl::member_of(members, "pool"); pool.starts_with('{'))
    found.concurrency = or_unknown(cl::member_of(cl::object_parts(pool), "max-concurrency"));
  found.uptime = or_unknown(cl::member_of(members, "uptime"));
  std::uint64_t sum = 0;
  if (const std::string total = cl::member_of(members, "total"); total.starts_with('{')) {
    for (const auto& [task, count] : cl::object_parts(total)) {
      std::uint64_t value = 0;
      std::from_chars(count.data(), count.data() + count.size(), value);
      sum += value;
    }
  }
  found.processed = std::to_string(sum);
  return found;
}

}  // namespace

CLI::App* add_inspect_command(CLI::App& app, remote_options& options) {
  CLI::App* inspect = app.add_subcommand("inspect", "ask workers, ours and Celery's, what they do");
  inspect->add_option("COMMAND", options.command, "what to ask")->required();
  inspect->add_option("WORDS", options.words, "what the command takes");
  add_common(*inspect, options);
  inspect->footer(footer_of(inspect_verbs()));
  return inspect;
}

CLI::App* add_control_command(CLI::App& app, remote_options& options) {
  CLI::App* control = app.add_subcommand("control", "tell workers, ours and Celery's, what to do");
  control->add_option("COMMAND", options.command, "what to do")->required();
  control->add_option("WORDS", options.words, "what the command takes");
  add_common(*control, options);
  control->add_flag("--terminate", options.terminate, "revoke: end them where they run, too");
  control->add_option("--signal", options.signal, "revoke --terminate: by this signal; default: SIGTERM");
  control->footer(footer_of(control_verbs()));
  return control;
}

CLI::App* add_status_command(CLI::App& app, remote_options& options) {
  CLI::App* status = app.add_subcommand("status", "list the workers that answer, with their load");
  add_common(*status, options);
  status->footer("");
  return status;
}

exit_code run_inspect(const remote_options& options, std::ostream& out, std::ostream& err) {
  const verb& command = find_verb(inspect_verbs(), options.command);
  return tell(ask(options, options.command, arguments_of(command, options.words)), options, out, err);
}

exit_code run_control(const remote_options& options, std::ostream& out, std::ostream& err) {
  const verb& command = find_verb(control_verbs(), options.command);
  cl::json_members arguments = arguments_of(command, options.words);
  if (options.command != "revoke" && (options.terminate || !options.signal.empty()))
    throw std::invalid_argument("--terminate and --signal are for revoke");
  if (options.terminate) {
    arguments.emplace_back("terminate", "true");
    arguments.emplace_back("signal", cl::json_string(options.signal.empty() ? "SIGTERM" : options.signal));
  }
  if (options.command != "shutdown") return tell(ask(options, options.command, arguments), options, out, err);

  // Celery's workers end without an answer: who is there is asked before.
  answers told = ask(options, "ping");
  if (told.empty()) return nobody(options, err);
  remote_options those = options;
  those.workers.clear();
  for (auto& [worker, answer] : told) {
    those.workers.push_back(worker);
    answer = "null";
  }
  for (const auto& [worker, answer] : ask(those, "shutdown")) told[worker] = answer;
  return tell(told, options, out, err);
}

exit_code run_status(const remote_options& options, std::ostream& out, std::ostream& err) {
  const answers stats = ask(options, "stats");
  if (stats.empty()) return nobody(options, err);
  remote_options those = options;
  those.workers.clear();
  std::map<std::string, load> loads;
  std::size_t longest = 6;
  for (const auto& [worker, answer] : stats) {
    those.workers.push_back(worker);
    loads[worker] = answer.starts_with('{') ? load_of(answer) : load();
    longest = std::max(longest, code_points(printable(worker)));
  }
  for (const auto& [worker, answer] : ask(those, "active")) {
    if (loads.contains(worker) && answer.starts_with('[')) {
      loads[worker].running = std::to_string(cl::array_parts(answer).size());
    }
  }
  const auto number = [](const std::string& text) { return text == "?" ? "null" : text; };
  if (options.json) {
    cl::json_members all;
    for (const auto& [worker, found] : loads) {
      all.emplace_back(worker, cl::join_object({{"running", number(found.running)},
                                                {"concurrency", number(found.concurrency)},
                                                {"processed", number(found.processed)},
                                                {"uptime", number(found.uptime)}}));
    }
    out << cl::join_object(all) << '\n';
    return exit_code::success;
  }
  out << fmt::format("{:<{}}  {:>7}  {:>11}  {:>9}  {:>8}\n", "worker", longest, "running", "concurrency", "processed",
                     "uptime s");
  for (const auto& [worker, found] : loads) {
    out << fmt::format("{:<{}}  {:>7}  {:>11}  {:>9}  {:>8}\n", printable(worker), longest, found.running,
                       found.concurrency, found.processed, found.uptime);
  }
  return exit_code::success;
}

}  // namespace tutti::app
