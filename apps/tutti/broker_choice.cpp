#include <apps/tutti/broker_choice.hpp>

#include <apps/tutti/printable.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/redacted.hpp>
#include <tutti/cluster/json_parts.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace tutti::app {
namespace {

constexpr const char* default_file = "tutti.db";  // of app_options::broker

// A text without quotes, anything else as it is.
std::string shown(const std::string& json) {
  const auto text = cluster::string_in(json);
  return printable(text ? *text : json);
}

// A text of several lines keeps them.
std::string block(const std::string& text, const std::string& indent) {
  std::string lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) lines += indent + printable(std::string_view(text).substr(at, end - at)) + '\n';
    at = end + 1;
  }
  return lines;
}

cluster::app_options options_of(const broker_choice& choice) {
  cluster::app_options options = cluster::app::options_from_environment();
  try {
    if (!choice.config.empty()) options = cluster::app::options_from_file(choice.config, std::move(options));
  } catch (const decode_error& bad) {
    throw std::invalid_argument(bad.what());
  } catch (const os_error& unread) {
    throw no_settings(unread.what());
  }
  options.eager = false;  // a command has no tasks that it could run in place
  if (!choice.broker.empty()) options.broker = choice.broker;
  if (!choice.backend.empty()) options.backend = choice.backend;
  return options;
}

}  // namespace

void add_broker_options(CLI::App& command, broker_choice& choice, bool with_results) {
  command
      .add_option("-b,--broker", choice.broker,
                  "redis://host/0 or sqlite:FILE; default: TUTTI_BROKER, CELERY_BROKER_URL, else sqlite:tutti.db")
      ->type_name("URL")
      ->allow_extra_args(false);
  command
      .add_option("--config", choice.config,
                  R"(settings in JSON: {"broker": "redis://host/0"}; other options go before it)")
      ->type_name("FILE")
      ->allow_extra_args(false);
  if (!with_results) return;
  command
      .add_option("--backend", choice.backend,
                  "where results are kept; default: TUTTI_BACKEND, CELERY_RESULT_BACKEND, else the broker")
      ->type_name("URL")
      ->allow_extra_args(false);
}

cluster::app open_app(const broker_choice& choice) { return cluster::app(options_of(choice)); }

cluster::app open_existing(const broker_choice& choice, bool only_results) {
  cluster::app_options options = options_of(choice);
  if (!only_results) options.backend.clear();
  if (options.broker.empty() && options.backend.empty() && !std::filesystem::exists(default_file))
    throw std::invalid_argument(fmt::format(
        "no broker given: give --broker URL or set TUTTI_BROKER (the default, sqlite:{}, does not exist here)",
        default_file));
  return cluster::app(std::move(options));
}

void take_seconds(CLI::Option& option, double least, double most) {
  option.type_name("SECONDS")->check([least, most](const std::string& text) {
    double value = 0;
    if (CLI::detail::lexical_cast(text, value) && value >= least && value <= most) return std::string();
    return fmt::format("\"{}\" is no number of seconds from {} to {}", printable(detail::redacted(text), 80), least,
                       most);
  });
}

std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::clamp(seconds, 0.0, 3e8) * 1000));
}

std::string readable(const std::string& json, const std::string& indent) {
  std::string lines;
  if (json.starts_with('[')) {
    for (const std::string& part : cluster::array_parts(json)) lines += indent + shown(part) + '\n';
    return lines.empty() ? indent + "none\n" : lines;
  }
  if (json.starts_with('{')) {
    for (const auto& [name, value] : cluster::object_parts(json))
      lines += indent + printable(name) + ": " + shown(value) + '\n';
    return lines.empty() ? indent + "none\n" : lines;
  }
  const auto text = cluster::string_in(json);
  return block(text ? *text : json, indent);
}

}  // namespace tutti::app
