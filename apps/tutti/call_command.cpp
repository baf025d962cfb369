#include <apps/tutti/call_command.hpp>

#include <apps/tutti/printable.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/redacted.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/signature.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <charconv>
#include <ostream>
#include <span>

namespace tutti::app {
namespace {

namespace cl = cluster;
using detail::redacted;

constexpr std::chrono::seconds patience{10};  // then who waits is told how to learn more

constexpr const char* call_help =
    R"help(Each ARG is JSON where it can be read as such, else a text: 2 is a number, hello
and "2" are texts. The result is printed as JSON.

Examples:
  tutti call tasks.add 2 3
  tutti call tasks.mail bob@example.com --kwargs '{"copies": 2}' --countdown 60 --no-wait
  tutti result "$(tutti call tasks.add 2 3 --no-wait)" --timeout 10

)help";

// CLI11 takes words apart that are like "[a,b]": in its sight, all that could be such begin with this.
constexpr char guard = '\1';

void unguard(std::string& word) {
  if (word.starts_with(guard)) word.erase(0, 1);
}

// The one JSON value that `text` is, or nothing.
std::optional<std::string> json_value(const std::string& text) {
  try {
    const std::vector<std::string> parts = cl::array_parts('[' + text + ']');
    if (parts.size() == 1) return parts.front();
  } catch (const decode_error&) {
    // A text.
  }
  return std::nullopt;
}

cl::wall_time moment(const std::string& name, const std::string& text) {
  try {
    return cl::from_iso_time(text);
  } catch (const decode_error&) {
    throw std::invalid_argument(
        fmt::format("{} \"{}\" is no moment of ISO 8601, such as 2026-01-31T12:00:00+00:00", name, redacted(text)));
  }
}

cl::signature signature_of(const call_options& options) {
  cl::detail::call_arguments given;
  for (const std::string& arg : options.args) given.args.push_back(json_value(arg).value_or(cl::json_string(arg)));
  try {
    given.kwargs = cl::object_parts(options.kwargs);
  } catch (const decode_error& bad) {
    throw std::invalid_argument(fmt::format("--kwargs {} is no JSON object: {}", redacted(options.kwargs),
                                            redacted(bad.what(), options.kwargs)));
  }
  return {options.task, std::move(given)};
}

// Refers to `options` and `where`.
cl::send_options send_options_of(const call_options& options, const cl::app& where) {
  if (options.countdown && !options.eta.empty())
    throw std::invalid_argument("--countdown and --eta both say when it may begin: give one of them");
  cl::send_options how{.priority = options.priority,
                       .queue = options.queue,
                       .id = options.id,
                       .ignore_result = options.ignore_result,
                       .where = &where};
  if (options.time_limit) how.time_limit = milliseconds_of(*options.time_limit);
  if (options.soft_time_limit) how.soft_time_limit = milliseconds_of(*options.soft_time_limit);
  if (options.countdown) how.countdown = milliseconds_of(*options.countdown);
  if (!options.eta.empty()) how.eta = moment("--eta", options.eta);
  if (!options.expires.empty()) {
    double seconds = 0;
    const char* end = options.expires.data() + options.expires.size();
    const auto [at, failed] = std::from_chars(options.expires.data(), end, seconds);
    const bool is_number = failed == std::errc() && at == end && seconds >= 0;
    how.expires = is_number ? cl::expiry(milliseconds_of(seconds)) : cl::expiry(moment("--expires", options.expires));
  }
  return how;
}

std::string what_failed(const cl::task_result& result) {
  if (!result.failure) return "";
  std::string text;
  try {
    const std::vector<std::string> parts = cl::array_parts(result.failure->args);
    for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + cl::string_in(part).value_or(part);
  } catch (const decode_error&) {
    text = result.failure->args;
  }
  return text.empty() ? result.failure->type : result.failure->type + ": " + text;
}

// For its end, and for no longer than `limit`: tell() says what came of it.
void wait(const cl::async_result<>& task, std::chrono::nanoseconds limit) {
  try {
    static_cast<void>(task.get(limit));
  } catch (const std::exception&) {  // it failed, or the time is up
  }
}

// How to learn why it takes so long. `at`: options that these commands need.
std::string advice(const std::string& at = {}) {
  return fmt::format("`tutti status{0}` lists the workers that answer, `tutti queues{0}` what waits", at);
}

// What is known of the task. `what`: the task, for people; `queue`: where it was sent; empty: not known.
exit_code tell(const cl::async_result<>& task, const std::string& what, const std::string& queue, bool json,
               std::ostream& out, std::ostream& err) {
  const cl::app& where = cl::result_access::where(task);
  const std::string text =
      where.results()
          ->fetch(std::span(&task.id(), 1))
          .front()
          .value_or(cl::join_object({{"task_id", cl::json_string(task.id())}, {"status", "\"PENDING\""}}));
  const cl::task_result result = cl::decode_result(text);
  const bool is_over = cl::state::is_final(result.status);
  if (json) {
    out << text << '\n';
  } else if (result.status == cl::state::success) {
    out << result.result << '\n';
  } else if (!is_over) {
    // Of one that this command has not sent, only where its result would be may be known.
    const bool is_sent = !queue.empty();
    const bool by_results = !is_sent && where.options().broker.empty() && !where.options().backend.empty();
    const std::string place = by_results ? where.results()->name() : where.tasks()->name();
    std::string more, then = advice(by_results ? " --broker URL" : "");
    if (!result.result.empty() && result.result != "null") {
      then = result.result;  // how far it is
    } else if (is_sent) {
      more = fmt::format(", its queue {} at {}", printable(redacted(queue)), place);
    } else if (result.status == cl::state::pending) {
      more = (by_results ? " (or its result is not kept in " : " (or nobody has sent it to ") + place + ')';
    }
    err << fmt::format("tutti: {} has not ended; its state is {}{}: {}\n", printable(what), printable(result.status),
                       more, printable(then));
  } else {
    const bool is_revoked = result.status == cl::state::revoked;
    err << "tutti: " << printable(what) << (is_revoked ? " was revoked: " : " failed: ")
        << printable(what_failed(result)) << '\n';
    if (result.failure) err << readable(cl::json_string(result.failure->traceback), "  ");
  }
  if (!is_over) return exit_code::no_result;
  return result.status == cl::state::success ? exit_code::success : exit_code::failure;
}

}  // namespace

CLI::App* add_call_command(CLI::App& app, call_options& options) {
  CLI::App* call = app.add_subcommand("call", "send a task to the workers, and print its result");
  call->add_option("NAME", options.task, "the task: tasks.add")->required();
  call->add_option("ARGS", options.args, "its arguments");
  add_broker_options(*call, options.at, true);
  call->add_option("--kwargs", options.kwargs, "arguments by name, a JSON object")->type_name("JSON");
  call->add_option("-Q,--queue", options.queue, "where to; default: TUTTI_QUEUE, else celery")->type_name("NAME");
  take_seconds(*call->add_option("--countdown", options.countdown, "not before so many seconds are over"));
  call->add_option("--eta", options.eta, "not before this moment, ISO 8601")->type_name("TIME");
  call->add_option("--expires", options.expires, "not after so many seconds, or this moment")->type_name("TIME");
  call->add_option("--priority", options.priority, "0 to 9, bigger is sooner")->type_name("N")->check(CLI::Range(0, 9));
  take_seconds(*call->add_option("--time-limit", options.time_limit, "then it is killed, or given up"), 0.001);
  take_seconds(*call->add_option("--soft-time-limit", options.soft_time_limit, "then it is asked to stop"), 0.001);
  call->add_option("--id", options.id, "its id; default: a new one")->type_name("ID");
  CLI::Option* no_wait = call->add_flag("--no-wait", options.no_wait, "print its id, and do not wait for the result");
  CLI::Option* timeout = call->add_option("--timeout", options.timeout, "wait so long; default: until it has ended");
  take_seconds(*timeout->excludes(no_wait));
  call->add_flag("--ignore-result", options.ignore_result, "nobody keeps its result; print its id, as with --no-wait")
      ->excludes(timeout);
  call->add_flag("--json", options.json, "print all that is known of it, as JSON");
  call->footer(call_help);
  return call;
}

CLI::App* add_result_command(CLI::App& app, result_options& options) {
  CLI::App* result = app.add_subcommand("result", "print the result of a task");
  result->add_option("ID", options.id, "of the task")->required();
  add_broker_options(*result, options.at, true);
  take_seconds(*result->add_option("--timeout", options.timeout, "wait so long for its end; default: not at all"));
  result->add_flag("--json", options.json, "print all that is known of it, as JSON");
  result->footer("");
  return result;
}

std::vector<std::string> guarded_words(int argc, const char* const* argv) {
  std::vector<std::string> words(argv, argv + argc);
  if (argc < 2 || words[1] != "call") return words;
  for (std::string& word : words) {
    if (word.starts_with('[') || word.starts_with(guard)) word.insert(word.begin(), guard);
  }
  return words;
}

exit_code run_call(call_options options, std::ostream& out, std::ostream& err) {
  for (std::string& arg : options.args) unguard(arg);
  for (std::string* word :
       {&options.task, &options.kwargs, &options.queue, &options.eta, &options.expires, &options.id})
    unguard(*word);
  const cl::app where = open_app(options.at);
  const cl::async_result<> sent = signature_of(options).apply_async<cl::json>(send_options_of(options, where));
  if (options.no_wait || options.ignore_result) {
    const std::string id = cl::json_string(sent.id());
    out << (options.json ? cl::join_object({{"task_id", id}, {"status", "\"PENDING\""}}) : sent.id()) << '\n';
    return exit_code::success;
  }
  const std::string what = redacted(options.task) + " (" + redacted(sent.id()) + ")";
  const auto limit = options.timeout ? std::optional(milliseconds_of(*options.timeout)) : std::nullopt;
  wait(sent, limit.value_or(patience));
  if (!limit && !sent.ready()) {
    err << fmt::format("tutti: waiting for {}: {}\n", printable(what), advice()) << std::flush;
    wait(sent, std::chrono::nanoseconds::max());
  }
  return tell(sent, what, options.queue.empty() ? where.options().queue : options.queue, options.json, out, err);
}

exit_code run_result(const result_options& options, std::ostream& out, std::ostream& err) {
  const cl::app where = open_existing(options.at, true);
  const cl::async_result<> task = cl::result(options.id, where);
  if (options.timeout > 0) wait(task, milliseconds_of(options.timeout));
  return tell(task, "the task " + redacted(options.id), "", options.json, out, err);
}

}  // namespace tutti::app
