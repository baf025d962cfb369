// log: the threshold, the text of an event, and standard error through spdlog.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <tutti/base/at_fork.hpp>
#include <tutti/base/log.hpp>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <optional>

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
  // Not spdlog's sink for several threads: its lock would be anybody's in a forked child.
  stderr_sink() : logger_("tutti", std::make_shared<spdlog::sinks::stderr_color_sink_st>()) {
    held_at_fork(mutex_);
    logger_.set_level(spdlog::level::trace);  // ours decides
    logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ [%P:%t] %v");
    logger_.flush_on(spdlog::level::trace);
    logger_.set_error_handler([](const std::string&) {});
  }
  void write(const log_record& record) override {
    std::string line = record.text();
    if (record.where.line != 0)
      line += " at=" + std::string(record.where.file) + ':' + std::to_string(record.where.line);
    const std::lock_guard guard(mutex_);
    logger_.log(to_spdlog(record.level), spdlog::string_view_t(line.data(), line.size()));
  }

 private:
  std::mutex mutex_;
  spdlog::logger logger_;
};

// A sink from its installation to its replacement.
struct installed {
  std::shared_ptr<log_sink> sink;
  const std::uint32_t here = forks_before_this_process();
  std::atomic<int> inside{0};  // threads
};

struct state {
  std::mutex mutex;  // not held while a sink writes: it is free to fork, or to wait for who forks
  const std::shared_ptr<log_sink> standard = std::make_shared<stderr_sink>();
  std::shared_ptr<installed> current = std::make_shared<installed>(standard);
};

// A thread is inside the current sink.
class visit {
 public:
  explicit visit(state& log) {
    const std::lock_guard guard(log.mutex);  // who replaces the sink under it looks at `inside` afterwards
    to_ = log.current;
    to_->inside.fetch_add(1, std::memory_order_relaxed);
  }
  ~visit() {
    if (to_->inside.fetch_sub(1, std::memory_order_release) == 1) to_->inside.notify_all();
  }
  visit(const visit&) = delete;
  visit& operator=(const visit&) = delete;
  log_sink& sink() const noexcept { return *to_->sink; }

 private:
  std::shared_ptr<installed> to_;
};

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
  state& log = process_wide<state>();
  if (sink == nullptr) sink = log.standard;
  auto other = std::make_shared<installed>(std::move(sink));
  {
    const std::lock_guard guard(log.mutex);
    log.current.swap(other);
  }
  // In a forked child, threads that are not there may have been inside, and never leave.
  if (other->here != forks_before_this_process()) return;
  // acquire: what they did there comes before.
  for (int n = 0; (n = other->inside.load(std::memory_order_acquire)) != 0;) other->inside.wait(n);
  other->sink.reset();  // ends with the call, not with whoever left last
}

void set_log_level(log_level level) noexcept { detail::log_threshold.store(level, std::memory_order_relaxed); }

void detail::write_log(log_level level, std::string_view message, std::initializer_list<log_field> fields,
                       const place& where) noexcept {
  try {
    state& log = process_wide<state>();
    const log_record record{level, message, fields.begin(), fields.size(), where};
    const visit to(log);
    to.sink().write(record);
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
  // Of all captures, so that a forked child finds it free.
  struct shared {
    std::mutex mutex;
  };
  std::mutex& lock_ = process_wide<shared>().mutex;
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
