// result_text: Celery's JSON object of a result, in the order in which Celery writes its members.
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/json_slices.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <charconv>
#include <stdexcept>

namespace tutti::cluster {
namespace {

using members = std::vector<std::pair<std::string, std::string>>;

std::string text_or_null(const std::string& text) { return text.empty() ? "null" : json_string(text); }

bool has_failure(std::string_view status) noexcept {
  return status == state::failure || status == state::retry || status == state::revoked;
}

std::string encode_failure(const task_failure& failure) {
  members parts{{"exc_type", json_string(failure.type)},
                {"exc_message", failure.args},
                {"exc_module", json_string(failure.module)}};
  if (!failure.native.empty()) parts.emplace_back("exc_tutti", '"' + base64(failure.native) + '"');
  return join_object(parts);
}

// Whatever is kept for a task that failed: Celery's backends let tasks store what they like.
task_failure decode_failure(std::string_view json) {
  task_failure failure;
  if (!detail::is_object(json)) {
    if (json != "null") failure.args = '[' + std::string(json) + ']';
    return failure;
  }
  detail::each_member(json, [&](std::string_view name, std::string_view value) {
    if (name == "exc_message") failure.args = detail::is_array(value) ? value : '[' + std::string(value) + ']';
    if (!detail::is_string(value)) return;
    if (name == "exc_type") failure.type = detail::unquoted(value);
    if (name == "exc_module") failure.module = detail::unquoted(value);
    if (name == "exc_tutti") {
      try {
        failure.native = from_base64(detail::unquoted(value));
      } catch (const decode_error&) {  // what people can read is left
      }
    }
  });
  return failure;
}

// A member that must be a text, or null for none.
std::string text_in(std::string_view name, std::string_view json) {
  if (json == "null") return {};
  if (!detail::is_string(json)) {
    throw decode_error("task result: \"" + std::string(name) + "\": wanted a string, found " + python_repr(json, 60));
  }
  return detail::unquoted(json);
}

std::optional<int> number_in(std::string_view json) {
  int number = 0;
  const auto [end, failed] = std::from_chars(json.data(), json.data() + json.size(), number);
  if (failed != std::errc() || end != json.data() + json.size()) return std::nullopt;
  return number;
}

// Arguments are JSON, or a text with Python's idea of them: then that, as a JSON string.
std::string json_or_empty(std::string_view json) { return json == "null" ? std::string() : std::string(json); }

}  // namespace

bool state::is_final(std::string_view status) noexcept {
  return status == success || status == failure || status == revoked;
}

std::string encode_result(const task_result& result) {
  const bool is_final = state::is_final(result.status);
  const auto done = result.done ? result.done
                    : is_final  ? std::optional(std::chrono::system_clock::now())
                                : std::nullopt;
  members parts;
  parts.reserve(16);
  parts.emplace_back("status", json_string(result.status));
  parts.emplace_back("result", result.failure ? encode_failure(*result.failure) : result.result);
  parts.emplace_back("traceback", result.failure ? text_or_null(result.failure->traceback) : "null");
  parts.emplace_back("children", join_array(result.children));
  // Without an offset, as Celery writes it: it is UTC.
  parts.emplace_back("date_done", done ? '"' + iso_time(*done).substr(0, 26) + '"' : "null");
  if (!result.name.empty()) parts.emplace_back("name", json_string(result.name));
  if (!result.args.empty()) parts.emplace_back("args", result.args);
  if (!result.kwargs.empty()) parts.emplace_back("kwargs", result.kwargs);
  if (!result.worker.empty()) parts.emplace_back("worker", json_string(result.worker));
  if (result.retries) parts.emplace_back("retries", std::to_string(*result.retries));
  if (!result.queue.empty()) parts.emplace_back("queue", json_string(result.queue));
  if (!result.group.empty()) parts.emplace_back("group_id", json_string(result.group));
  if (!result.parent_id.empty()) parts.emplace_back("parent_id", json_string(result.parent_id));
  parts.emplace_back("task_id", json_string(result.id));
  return join_object(parts);
}

task_result decode_result(std::string_view text) {
  const std::string_view json = detail::checked_json(text, "a task result");
  if (!detail::is_object(json)) throw decode_error("a task result is a JSON object, not " + python_repr(json, 60));
  task_result out;
  out.status.clear();
  std::string traceback;
  detail::each_member(json, [&](std::string_view name, std::string_view value) {
    if (name == "status") out.status = text_in(name, value);
    if (name == "result") out.result = value;
    if (name == "traceback") traceback = detail::is_string(value) ? detail::unquoted(value) : "";
    if (name == "children" && detail::is_array(value)) {
      out.children.clear();
      detail::each_element(value, [&](std::string_view child) { out.children.emplace_back(child); });
    }
    if (name == "date_done" && detail::is_string(value)) out.done = from_iso_time(detail::unquoted(value));
    if (name == "task_id") out.id = text_in(name, value);
    if (name == "group_id") out.group = text_in(name, value);
    if (name == "parent_id") out.parent_id = text_in(name, value);
    if (name == "name") out.name = text_in(name, value);
    if (name == "worker") out.worker = text_in(name, value);
    if (name == "queue") out.queue = text_in(name, value);
    if (name == "args") out.args = json_or_empty(value);
    if (name == "kwargs") out.kwargs = json_or_empty(value);
    if (name == "retries") out.retries = number_in(value);
  });
  if (out.status.empty()) throw decode_error("a task result has no \"status\": " + python_repr(json, 60));
  if (has_failure(out.status)) {
    out.failure = decode_failure(out.result);
    out.failure->traceback = std::move(traceback);
  }
  return out;
}

std::string value_of(const task_result& result) {
  if (result.status == state::success) return result.result;
  if (result.status == state::failure) {
    std::rethrow_exception(restore_failure(result.failure.value_or(task_failure())));
  }
  if (result.status == state::revoked) {
    std::string why;
    try {
      if (result.failure) std::rethrow_exception(restore_failure(*result.failure));
    } catch (const std::exception& e) {
      why = std::string(": ") + e.what();
    }
    throw cancelled("task " + result.id + " was revoked" + why);
  }
  throw std::logic_error("task " + result.id + " has no result yet, its state is " + result.status);
}

}  // namespace tutti::cluster
