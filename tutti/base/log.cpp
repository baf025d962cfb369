// log: the threshold, the text of an event, and standard error through spdlog.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <tutti/base/at_fork.hpp>
#include <tutti/base/log.hpp>

#include <cstdlib>
#include <mutex>
#include <optional>
#include <shared_mutex>

namespace tutti {
namespace {

std::optional<log_level> parse_level(std::string_view text) noexcept {
  for (const auto level :
       {log_level::trace, log_level::debug, log_level::info, log_level::warn, log_level::error, log_level::off}) {
    if (to_string(level) == text) return level;
  }
  return std::nullopt;
}

spdlog::level::level_enum to_spdlog(log_level level) noexcept {
  switch (level) {
    case log_level::trace: return spdlog::level::trace;
    case log_level::debug: return spdlog::level::debug;
    case log_level::info: return spdlog::level::info;
    case log_level::warn: return spdlog::level::warn;
    case log_level::error: return spdlog::level::err;
    case log_level::off: break;
  }
  return spdlog::level::off;
}

// Standard error, with the time and the level in front.
class stderr_sink final : public log_sink {
 public:
  stderr_sink() : logger_("tutti", std::make_shared<spdlog::sinks::stderr_color_sink_mt>()) {
    logger_.set_level(spdlog::level::trace);  // ours decides
    logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ [%P:%t] %v");
    logger_.flush_on(spdlog::level::trace);
    logger_.set_error_handler([](const std::string&) {});
  }
  void write(const log_record& record) override {
    std::string line = record.text();
    if (record.where.line != 0)
      line += " at=" + std::string(record.where.file) + ':' + std::to_string(record.where.line);
    logger_.log(to_spdlog(record.level), spdlog::string_view_t(line.data(), line.size()));
  }

 private:
  spdlog::logger logger_;
};

struct state {
  state() { held_at_fork(lock, /*outermost=*/true); }  // a sink is free to take others
  std::shared_mutex lock;                              // shared while a sink writes
  std::shared_ptr<log_sink> replaced;
  stderr_sink standard;
};

// Never destroyed: code that runs while the program ends may still log.
state& current() {
  static auto& instance = *new state;
  return instance;
}
[[maybe_unused]] const auto& made_early = current();  // see at_fork.hpp

void append_quoted(std::string& out, std::string_view value) {
  const bool plain = !value.empty() && value.find_first_of(" =\"\\\n\r\t") == value.npos;
  if (plain) {
    out += value;
    return;
  }
  out += '"';
  for (const char c : value) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default: out += c;
    }
  }
  out += '"';
}

// Reads TUTTI_LOG while the program starts; earlier events go by the default.
const bool threshold_was_read = [] {
  const char* wanted = std::getenv("TUTTI_LOG");
  if (wanted == nullptr || *wanted == '\0') return false;
  const auto level = parse_level(wanted);
  if (level) {
    set_log_level(*level);
  } else {
    log(log_level::warn, "TUTTI_LOG names no level; known: trace, debug, info, warn, error, off", {{"value", wanted}});
  }
  return level.has_value();
}();

}  // namespace

std::string_view to_string(log_level level) noexcept {
  switch (level) {
    case log_level::trace: return "trace";
    case log_level::debug: return "debug";
    case log_level::info: return "info";
    case log_level::warn: return "warn";
    case log_level::error: return "error";
    case log_level::off: return "off";
  }
  return "unknown";
}

std::string log_field::value() const {
  switch (kind_) {
    case kind::text: return std::string(text_);
    case kind::integer: return std::to_string(integer_);
    case kind::natural: return std::to_string(natural_);
    case kind::real: return fmt::format("{}", real_);
    case kind::boolean: return natural_ != 0 ? "true" : "false";
  }
  return {};
}

std::string log_record::text() const {
  std::string line(message);
  for (std::size_t i = 0; i < field_count; ++i) {
    line += ' ';
    line += fields[i].key();
    line += '=';
    append_quoted(line, fields[i].value());
  }
  return line;
}

void set_log_sink(std::shared_ptr<log_sink> sink) {
  state& log = current();
  {
    const std::lock_guard guard(log.lock);
    log.replaced.swap(sink);
  }
  sink.reset();  // the one before ends here, outside the lock
}

void set_log_level(log_level level) noexcept { detail::log_threshold.store(level, std::memory_order_relaxed); }

void detail::write_log(log_level level, std::string_view message, std::initializer_list<log_field> fields,
                       const place& where) noexcept {
  try {
    state& log = current();
    const log_record record{level, message, fields.begin(), fields.size(), where};
    const std::shared_lock guard(log.lock);
    log_sink& sink = log.replaced ? *log.replaced : static_cast<log_sink&>(log.standard);
    sink.write(record);
  } catch (...) {  // a program must not fail for its log
  }
}

class log_capture::collector final : public log_sink {
 public:
  void write(const log_record& record) override {
    const std::lock_guard guard(lock_);
    lines_.push_back(std::string(to_string(record.level)) + ": " + record.text());
  }
  std::vector<std::string> lines() const {
    const std::lock_guard guard(lock_);
    return lines_;
  }

 private:
  mutable std::mutex lock_;
  std::vector<std::string> lines_;
};

log_capture::log_capture()
    : collector_(std::make_shared<collector>()), level_before_(detail::log_threshold.load(std::memory_order_relaxed)) {
  set_log_sink(collector_);
  set_log_level(log_level::trace);
}

log_capture::~log_capture() {
  set_log_level(level_before_);
  set_log_sink(nullptr);
}

std::vector<std::string> log_capture::lines() const { return collector_->lines(); }

bool log_capture::contains(std::string_view part) const {
  for (const std::string& line : lines()) {
    if (line.find(part) != line.npos) return true;
  }
  return false;
}

}  // namespace tutti
