#include <tutti/base/error.hpp>
#include <tutti/base/json.hpp>
#include <tutti/base/registry.hpp>
#include <tutti/cluster/call_task.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/this_call.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <charconv>
#include <chrono>
#include <tuple>

namespace tutti::cluster {
namespace {

using call_args = std::tuple<std::string, std::string, std::string, int>;  // identity, signature, arguments, retries

std::uint64_t parse_signature(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (failed != std::errc() || end != text.data() + text.size()) {
    throw decode_error("\"" + text.substr(0, 40) + "\" is no function's signature");
  }
  return value;
}

std::string to_hex(std::uint64_t value) {
  char text[17];
  const auto [end, failed] = std::to_chars(text, text + sizeof text, value, 16);
  return {text, end};
}

call_args parse(std::string_view args) {
  try {
    return decode_json<call_args>(args);
  } catch (const decode_error& e) {
    throw argument_error(std::string(call_task_name) + "(function, signature, arguments, retries): " + e.what());
  }
}

std::string run_call(std::string_view args, std::string_view /*kwargs*/) {
  const auto [name, signature, arguments, retries] = parse(args);
  const function_info& function = find_function(name, parse_signature(signature));
  std::string result;
  try {
    function.invoke(from_base64(arguments), result);
  } catch (const detail::retry_request&) {
    throw;
  } catch (...) {
    if (!is_retryable(std::current_exception()) || !this_call::running() || this_call::retries() >= retries) throw;
    this_call::retry({.countdown = std::chrono::nanoseconds::zero(), .reason = {}, .max_retries = retries});
  }
  return json_string(base64(result));
}

}  // namespace

std::string call_task_args(std::string_view function, std::uint64_t signature, std::string_view encoded_arguments,
                           int retries) {
  return join_array({json_string(function), json_string(to_hex(signature)), json_string(base64(encoded_arguments)),
                     std::to_string(retries)});
}

std::string call_task_result(std::string_view json) {
  const auto text = string_in(json);
  if (!text) throw decode_error("the result of " + std::string(call_task_name) + " is no text");
  return from_base64(*text);
}

registered_task call_task() {
  registered_task task;
  task.settings.name = call_task_name;
  task.settings.max_retries = 0;  // it asks itself
  task.signature = std::string(call_task_name) + "(function, signature, arguments, retries)";
  task.run = run_call;
  return task;
}

}  // namespace tutti::cluster
