// message: read from kombu's envelope, with the headers and the body of Celery's protocol 2, or of protocol 1.
//
//   {"body": base64 of [args, kwargs, {"callbacks": ..., "errbacks": ..., "chain": ..., "chord": ...}],
//    "content-type": ..., "content-encoding": ..., "headers": {what the task is}, "properties": {how it travels}}
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/envelope.hpp>
#include <tutti/cluster/inside/json_slices.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/message.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace tutti::cluster {
namespace {

using detail::each_element;
using detail::each_member;
using detail::envelope;
using detail::longest_message;
using detail::open_envelope;

// A member of the headers, the properties or the body, and its name for errors.
struct field {
  const char* where;
  std::string_view name, json;

  [[noreturn]] void wanted(const std::string& what) const {
    throw decode_error("task message: " + std::string(where) + " \"" + std::string(name.substr(0, 60)) + "\": wanted " +
                       what + ", found " + python_repr(json, 60));
  }
  [[nodiscard]] bool is_null() const { return json == "null"; }
  [[nodiscard]] std::string text() const {
    if (is_null()) return {};
    if (!detail::is_string(json)) wanted("a string");
    return detail::unquoted(json);
  }
  [[nodiscard]] std::optional<std::int64_t> integer(std::int64_t least) const {
    if (is_null()) return std::nullopt;
    std::int64_t number = 0;
    const auto [end, failed] = std::from_chars(json.data(), json.data() + json.size(), number);
    if (failed != std::errc() || end != json.data() + json.size() || number < least) {
      wanted("an integer of at least " + std::to_string(least));
    }
    return number;
  }
  [[nodiscard]] bool boolean() const {
    if (json != "true" && json != "false" && !is_null()) wanted("true or false");
    return json == "true";
  }
  [[nodiscard]] std::optional<wall_time> moment() const {
    const std::string found = text();
    if (found.empty()) return std::nullopt;
    try {
      return from_iso_time(found);
    } catch (const decode_error&) {
      wanted("a moment of ISO 8601");
    }
  }
  // Seconds of a time limit; nothing for none.
  [[nodiscard]] std::optional<double> limit() const {
    double number = 0;
    if (!is_null()) {
      const auto [end, failed] = std::from_chars(json.data(), json.data() + json.size(), number);
      if (failed != std::errc() || end != json.data() + json.size()) wanted("numbers of seconds");
    }
    return number > 0 ? std::optional(number) : std::nullopt;
  }
  [[nodiscard]] std::string object() const {
    if (is_null()) return {};
    if (!detail::is_object(json)) wanted("an object");
    return std::string(json);
  }
  [[nodiscard]] std::vector<std::string> signatures() const {
    std::vector<std::string> out;
    if (is_null()) return out;
    if (!detail::is_array(json)) wanted("an array");
    each_element(json, [&](std::string_view element) {
      if (!detail::is_object(element) && !detail::is_string(element)) wanted("an array of signatures");
      out.emplace_back(element);
    });
    return out;
  }
};

void read_time_limits(task_message& message, const field& found) {
  if (found.is_null()) return;
  if (!detail::is_array(found.json)) found.wanted("an array of two");
  std::size_t i = 0;
  each_element(found.json, [&](std::string_view element) {
    const auto limit = field{found.where, found.name, element}.limit();
    if (i == 0) message.time_limit = limit;
    if (i == 1) message.soft_time_limit = limit;
    ++i;
  });
  if (i != 2) found.wanted("an array of two");
}

int read_retries(const field& found) {
  const auto number = found.integer(0).value_or(0);
  if (number > std::numeric_limits<int>::max()) found.wanted("fewer");
  return std::min(static_cast<int>(number), std::numeric_limits<int>::max() - 1);  // there may be one more
}

// What a header says, or in protocol 1 a member of the body. False: it is not one of a task's own.
bool read_own(task_message& message, const field& found) {
  const std::string_view name = found.name;
  if (name == "task")
    message.task = found.text();
  else if (name == "id")
    message.id = found.text();
  else if (name == "eta")
    message.eta = found.moment();
  else if (name == "expires")
    message.expires = found.moment();
  else if (name == "retries")
    message.retries = read_retries(found);
  else if (name == "timelimit")
    read_time_limits(message, found);
  else if (name == "root_id")
    message.root_id = found.text();
  else if (name == "parent_id")
    message.parent_id = found.text();
  else if (name == "group")
    message.group = found.text();
  else if (name == "group_index")
    message.group_index = found.integer(0);
  else if (name == "ignore_result")
    message.ignore_result = found.boolean();
  else if (name == "shadow")
    message.shadow = found.text();
  else if (name == "origin")
    message.origin = found.text();
  else if (name == "argsrepr")
    message.argsrepr = found.text();
  else if (name == "kwargsrepr")
    message.kwargsrepr = found.text();
  else if (name == "redelivered")
    message.redelivered = found.boolean();
  else
    return detail::is_own_header(name);
  return true;
}

void read_headers(task_message& message, std::string_view headers) {
  each_member(headers, [&](std::string_view name, std::string_view json) {
    const field found{"header", name, json};
    if (name == "compression" && json != "null" && json != "\"\"") {
      throw decode_error("task message: its body is compressed (" + python_repr(json, 60) +
                         "), which is not supported; send it without task_compression");
    }
    if (!read_own(message, found)) message.headers.insert_or_assign(std::string(name), std::string(json));
  });
}

// Absent when it is the soonest, which is also what Celery writes for none; what is no priority is none, as for Celery.
std::optional<int> our_priority(std::string_view json) {
  int theirs = 0;
  const auto [end, failed] = std::from_chars(json.data(), json.data() + json.size(), theirs);
  if (failed != std::errc() || end != json.data() + json.size() || theirs <= 0) return std::nullopt;
  return detail::soonest_priority - std::min(theirs, detail::soonest_priority);
}

// Gives the body's encoding.
std::string read_properties(task_message& message, std::string_view properties) {
  std::string encoding;
  each_member(properties, [&](std::string_view name, std::string_view json) {
    const field found{"property", name, json};
    if (name == "reply_to") message.reply_to = found.text();
    if (name == "body_encoding") encoding = found.text();
    if (name == "priority") message.priority = our_priority(json);
    if (name == "delivery_info" && detail::is_object(json)) {
      each_member(json, [&](std::string_view member, std::string_view value) {
        const field info{"delivery_info", member, value};
        if (member == "routing_key" && value != "null") message.queue = info.text();
        if (member == "redelivered" && value == "true") message.redelivered = true;
      });
    }
  });
  return encoding;
}

std::string read_body(std::string_view json, const std::string& encoding) {
  if (!detail::is_string(json)) throw decode_error("task message: its body is no string");
  // Nothing is copied that is as long as the message where nothing of it is escaped.
  if (encoding == "base64" && json.find('\\') == std::string_view::npos)
    return from_base64(json.substr(1, json.size() - 2));
  std::string text = detail::unquoted(json);
  if (encoding.empty() || encoding == "utf-8") return text;
  if (encoding == "base64") return from_base64(text);
  throw decode_error("task message: its body_encoding is " + json_string(encoding.substr(0, 60)) +
                     "; known: base64, utf-8");
}

void require_json_type(const envelope& parts) {
  const auto type = string_in(parts.content_type).value_or("");
  if (!type.empty() && type != "application/json") {
    std::string name = json_string(type.substr(0, 60));
    if (type == "application/x-python-serialize") name = "pickle";
    if (type == "application/x-yaml") name = "yaml";
    if (type == "application/x-msgpack") name = "msgpack";
    throw decode_error("task message: its body is " + name +
                       ", and only JSON is taken; send it with task_serializer = 'json'");
  }
  std::string encoding = string_in(parts.content_encoding).value_or("");
  std::transform(encoding.begin(), encoding.end(), encoding.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  for (const std::string_view known : {"", "utf-8", "utf8", "us-ascii", "ascii"}) {
    if (encoding == known) return;
  }
  throw decode_error("task message: its content-encoding is " + json_string(encoding.substr(0, 60)) +
                     "; known: utf-8, us-ascii");
}

void read_embed(task_message& message, std::string_view embed) {
  if (embed == "null") return;
  if (!detail::is_object(embed)) field{"body", "embed", embed}.wanted("an object");
  each_member(embed, [&](std::string_view name, std::string_view json) {
    const field found{"body", name, json};
    if (name == "callbacks") message.callbacks = found.signatures();
    if (name == "errbacks") message.errbacks = found.signatures();
    if (name == "chain") message.chain = found.signatures();
    if (name == "chord") message.chord = found.object();
  });
}

void set_arguments(task_message& message, std::string_view args, std::string_view kwargs) {
  if (!detail::is_array(args)) field{"body", "args", args}.wanted("an array");
  if (!detail::is_object(kwargs)) field{"body", "kwargs", kwargs}.wanted("an object");
  message.args = args;
  message.kwargs = kwargs;
}

void read_new_body(task_message& message, std::string_view body) {
  std::array<std::string_view, 3> parts;
  std::size_t count = 0;
  each_element(body, [&](std::string_view part) {
    if (count < parts.size()) parts[count] = part;
    ++count;
  });
  if (count != parts.size()) {
    throw decode_error("task message: its body is an array of " + std::to_string(count) +
                       ", and not [args, kwargs, what comes next]");
  }
  set_arguments(message, parts[0], parts[1]);
  read_embed(message, parts[2]);
}

void read_old_body(task_message& message, std::string_view body) {
  std::string_view args = "[]";
  std::string_view kwargs = "{}";
  message.is_old = true;
  each_member(body, [&](std::string_view name, std::string_view json) {
    const field found{"body", name, json};
    if (name == "args") args = json;
    if (name == "kwargs") kwargs = json;
    if (name == "taskset" && message.group.empty()) message.group = found.text();
    if (name != "group" || json != "null") (void)read_own(message, found);
  });
  set_arguments(message, args, kwargs);
  read_embed(message, body);
}

}  // namespace

task_message decode_message(std::string_view element) {
  if (element.size() > longest_message) {
    throw decode_error("task message: it has " + std::to_string(element.size()) +
                       " bytes, and the longest that is taken " + std::to_string(longest_message));
  }
  const envelope parts = open_envelope(element);
  task_message message;
  std::string encoding;
  if (detail::is_object(parts.properties)) encoding = read_properties(message, parts.properties);
  const bool has_headers = detail::is_object(parts.headers);
  if (has_headers) read_headers(message, parts.headers);
  require_json_type(parts);
  if (parts.body.empty()) throw decode_error("task message: it has no body");
  const std::string text = read_body(parts.body, encoding);
  const std::string_view body = detail::checked_json(text, "the body of a task message");
  if (detail::is_object(body)) {
    read_old_body(message, body);
    if (has_headers) read_headers(message, parts.headers);  // they win
  } else if (detail::is_array(body)) {
    read_new_body(message, body);
  } else {
    throw decode_error("task message: its body is no array: " + python_repr(body, 60));
  }
  if (message.task.empty()) throw decode_error("task message: no \"task\" says what is to be run");
  if (message.id.empty())
    throw decode_error("task message: \"task\" is " + json_string(message.task) + ", but it has no \"id\"");
  return message;
}

message_name name_of(std::string_view element) noexcept {
  message_name found;
  const auto take = [&](std::string_view name, std::string_view json) {
    if (name == "id" && detail::is_string(json)) found.id = detail::unquoted(json);
    if (name == "task" && detail::is_string(json)) found.task = detail::unquoted(json);
  };
  try {
    const envelope parts = open_envelope(element);
    if (detail::is_object(parts.headers)) each_member(parts.headers, take);
    if (!found.id.empty() && !found.task.empty()) return found;
    task_message message;
    std::string encoding;
    if (detail::is_object(parts.properties)) encoding = read_properties(message, parts.properties);
    const std::string text = read_body(parts.body, encoding);
    const std::string_view body = detail::checked_json(text);
    if (detail::is_object(body)) each_member(body, take);
  } catch (...) {  // then there is no more to be said of it
  }
  return found;
}

}  // namespace tutti::cluster
