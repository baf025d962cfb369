// message: written as Celery's protocol 2 in the envelope of kombu, as its clients do it.
#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/envelope.hpp>
#include <tutti/cluster/inside/json_slices.hpp>
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/message.hpp>
#include <tutti/cluster/wire_text.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <utility>

namespace tutti::cluster {
namespace {

using detail::each_member;
using detail::envelope;
using detail::open_envelope;

// Appends the members of JSON objects.
class member_writer {
 public:
  explicit member_writer(std::string& out) : out_(out) { out_ += '{'; }
  void finish() { out_ += '}'; }

  void json(std::string_view name, std::string_view value) {
    if (!first_) out_ += ", ";
    first_ = false;
    out_ += '"';
    out_ += name;
    out_ += "\": ";
    out_ += value;
  }
  void text(std::string_view name, std::string_view value) { json(name, json_string(value)); }
  void text_or_null(std::string_view name, std::string_view value) {
    json(name, value.empty() ? "null" : json_string(value));
  }

 private:
  std::string& out_;
  bool first_ = true;
};

std::string seconds_text(const std::optional<double>& seconds) {
  if (!seconds || !(*seconds > 0) || !std::isfinite(*seconds)) return "null";
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), *seconds).ptr;
  return {digits.data(), end};
}

std::string objects_text(const std::vector<std::string>& objects) {
  return objects.empty() ? "null" : join_array(objects);
}

std::string moment_text(const std::optional<wall_time>& when) { return when ? '"' + iso_time(*when) + '"' : "null"; }

std::string body_of(const task_message& message) {
  std::string body;
  body.reserve(message.args.size() + message.kwargs.size() + 128);
  body += '[';
  body += message.args;
  body += ", ";
  body += message.kwargs;
  body += ", ";
  member_writer embed(body);
  embed.json("callbacks", objects_text(message.callbacks));
  embed.json("errbacks", objects_text(message.errbacks));
  embed.json("chain", objects_text(message.chain));
  embed.json("chord", message.chord.empty() ? "null" : std::string_view(message.chord));
  embed.finish();
  body += ']';
  return body;
}

[[noreturn]] void refuse(const task_message& message, const std::string& why) {
  throw std::invalid_argument("task message " + json_string(message.task) + '[' + message.id + "]: " + why);
}

void require_sendable(const task_message& message) {
  if (message.task.empty()) refuse(message, "it has no name");
  if (message.id.empty()) refuse(message, "it has no id");
  if (!detail::is_array(message.args)) refuse(message, "args are no JSON array: " + message.args.substr(0, 60));
  if (!detail::is_object(message.kwargs)) refuse(message, "kwargs are no JSON object: " + message.kwargs.substr(0, 60));
  if (message.retries < 0) refuse(message, "retries are " + std::to_string(message.retries));
  if (message.priority && (*message.priority < 0 || *message.priority > detail::soonest_priority)) {
    refuse(message, "priority is " + std::to_string(*message.priority) + ", not 0 to 9");
  }
  for (const auto& [name, json] : message.headers) {
    if (detail::is_own_header(name)) {
      refuse(message, "a header may not be named " + json_string(name) + ", which is the message's own");
    }
  }
}

// Before it is made: base64 takes a third more than the body.
void require_room(const task_message& message, std::size_t bytes) {
  if (bytes <= detail::longest_message) return;
  refuse(message, "it has " + std::to_string(bytes) +
                      " bytes, and a worker takes 100 MB at most; keep what is big elsewhere, and send where it is");
}

// As deep as a worker reads.
void require_shallow(const task_message& message, std::string_view body) {
  std::size_t deepest = detail::nesting(body);
  for (const auto& [name, json] : message.headers) deepest = std::max(deepest, detail::nesting(json) + 2);
  if (deepest <= detail::json_depth_limit) return;
  refuse(message, "it is nested " + std::to_string(deepest) + " levels deep with all that comes after it, and " +
                      std::to_string(detail::json_depth_limit) + " is the most");
}

void write_headers(std::string& out, const task_message& message) {
  member_writer headers(out);
  headers.json("lang", "\"py\"");
  headers.text("task", message.task);
  headers.text("id", message.id);
  headers.text_or_null("shadow", message.shadow);
  headers.json("eta", moment_text(message.eta));
  headers.json("expires", moment_text(message.expires));
  headers.text_or_null("group", message.group);
  headers.json("group_index", message.group_index ? std::to_string(*message.group_index) : "null");
  headers.json("retries", std::to_string(message.retries));
  headers.json("timelimit",
               '[' + seconds_text(message.time_limit) + ", " + seconds_text(message.soft_time_limit) + ']');
  headers.text("root_id", message.root_id.empty() ? message.id : message.root_id);
  headers.text_or_null("parent_id", message.parent_id);
  headers.text("argsrepr", message.argsrepr.empty() ? python_repr(message.args) : message.argsrepr);
  headers.text("kwargsrepr", message.kwargsrepr.empty() ? python_repr(message.kwargs) : message.kwargsrepr);
  headers.text("origin", message.origin.empty() ? "gen" + process_name() : message.origin);
  headers.json("ignore_result", message.ignore_result ? "true" : "false");
  if (message.redelivered) headers.json("redelivered", "true");
  for (const auto& [name, json] : message.headers) {
    const std::string quoted = json_string(name);
    headers.json(std::string_view(quoted).substr(1, quoted.size() - 2), json);
  }
  headers.finish();
}

void write_properties(std::string& out, const task_message& message) {
  member_writer properties(out);
  properties.text("correlation_id", message.id);
  properties.text("reply_to", message.reply_to);
  properties.json("delivery_mode", "2");
  if (message.expires) {
    const auto left = *message.expires - std::chrono::system_clock::now();
    const auto most = std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::milliseconds>(left).count());
    properties.json("expiration", '"' + std::to_string(most) + '"');
  }
  properties.json("delivery_info", R"({"exchange": "", "routing_key": )" + json_string(message.queue) + '}');
  properties.json("priority",
                  std::to_string(detail::soonest_priority - message.priority.value_or(detail::soonest_priority)));
  properties.json("body_encoding", "\"base64\"");
  properties.text("delivery_tag", new_uuid());
  properties.finish();
}

// `object`, which may be empty, with the member `name` new or replaced.
std::string with_member(std::string_view object, std::string_view name, std::string_view json) {
  std::vector<std::pair<std::string, std::string>> members;
  if (!object.empty()) members = object_parts(object);
  std::erase_if(members, [&](const auto& member) { return member.first == name; });
  members.emplace_back(name, json);
  return join_object(members);
}

constexpr std::size_t head_size = 64 * 1024;  // of what is too long to be put aside as it is

bool is_envelope(const envelope& parts) {
  bool has_tag = false;
  if (detail::is_object(parts.properties)) {
    each_member(parts.properties, [&](std::string_view name, std::string_view) { has_tag |= name == "delivery_tag"; });
  }
  return has_tag && detail::is_string(parts.body) &&
         (detail::is_object(parts.headers) || parts.headers.empty() || parts.headers == "null");
}

// Nothing: it is no envelope.
std::optional<std::string> marked_envelope(std::string_view element, std::string_view name, std::string_view json) {
  try {
    const envelope parts = open_envelope(element);
    if (!is_envelope(parts)) return {};
    const std::string_view headers = parts.headers == "null" ? std::string_view() : parts.headers;
    return with_member(element, "headers", with_member(headers, name, json));
  } catch (const decode_error&) {
    return {};
  }
}

// Bytes of which nothing is known, in an envelope.
std::string wrapped(std::string_view element, std::string_view name, std::string_view json) {
  std::string out = R"({"body": ")" + base64(element) +
                    R"(", "content-encoding": "binary", "content-type": "application/data", "headers": )" +
                    with_member({}, name, json) + R"(, "properties": )";
  member_writer properties(out);
  properties.json("delivery_mode", "2");
  properties.json("delivery_info", R"({"exchange": "", "routing_key": ""})");
  properties.json("priority", "0");
  properties.json("body_encoding", "\"base64\"");
  properties.text("delivery_tag", new_uuid());
  properties.finish();
  out += '}';
  return out;
}

}  // namespace

std::string encode_message(const task_message& message) {
  require_sendable(message);
  std::string body = body_of(message);
  // One that is tried again goes as it came. Should nobody take it any more, whoever waits for it is told by its
  // worker.
  const bool is_first = message.retries == 0;
  if (is_first) {
    require_room(message, (body.size() + 2) / 3 * 4);
    require_shallow(message, body);
  }
  body = base64(body);
  std::string out;
  out.reserve(body.size() + 2048);
  out += R"({"body": ")";
  out += body;
  out += R"(", "content-encoding": "utf-8", "content-type": "application/json", "headers": )";
  write_headers(out, message);
  out += R"(, "properties": )";
  write_properties(out, message);
  out += '}';
  if (is_first) require_room(message, out.size());
  return out;
}

std::string with_header(std::string_view element, std::string_view name, std::string_view json) {
  auto marked = marked_envelope(element, name, json);
  return marked ? std::move(*marked) : wrapped(element, name, json);
}

std::string dead_letter_of(std::string_view element, const std::string& reason, bool only_head) {
  constexpr std::string_view name = "x-death-reason";
  if (!only_head || element.size() <= head_size) {
    if (auto marked = marked_envelope(element, name, json_string(reason))) return std::move(*marked);
    if (element.size() <= detail::longest_message) return wrapped(element, name, json_string(reason));
  }
  return wrapped(element.substr(0, head_size), name,
                 json_string(reason + "; here are the first " + std::to_string(head_size) + " of its " +
                             std::to_string(element.size()) + " bytes"));
}

}  // namespace tutti::cluster
