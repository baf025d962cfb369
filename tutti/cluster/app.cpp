#include <tutti/base/at_fork.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/json_text.hpp>
#include <tutti/base/redacted.hpp>
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/inside/app_state.hpp>
#include <tutti/cluster/this_call.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <span>
#include <sstream>
#include <utility>

namespace tutti::cluster {
namespace {

constexpr std::string_view default_broker = "sqlite:tutti.db";
constexpr std::chrono::seconds longest_expiry = std::chrono::hours(24) * 3660;
constexpr std::chrono::milliseconds shortest_lease{100}, longest_lease = std::chrono::hours(1);
constexpr std::chrono::milliseconds longest_patience = std::chrono::hours(24);

struct current_app {
  std::mutex mutex;
  std::optional<app> value;
};

// The first that says something wins.
constexpr std::array broker_variables{"TUTTI_BROKER", "CELERY_BROKER_URL"};
constexpr std::array backend_variables{"TUTTI_BACKEND", "CELERY_RESULT_BACKEND"};

std::string_view variable(const char* name) {
  const char* const text = std::getenv(name);
  return text != nullptr ? text : std::string_view();
}

// Null: none says anything.
const char* first_set(std::span<const char* const> names) {
  const auto found = std::ranges::find_if(names, [](const char* name) { return !variable(name).empty(); });
  return found == names.end() ? nullptr : *found;
}

std::string first_value(std::span<const char* const> names) {
  const char* const name = first_set(names);
  return name != nullptr ? std::string(variable(name)) : std::string();
}

// Who is told that a URL is wrong may never have seen it, where a variable has it.
broker_url parse_url(const std::string& text, std::span<const char* const> names) {
  try {
    return broker_url::parse(text);
  } catch (const bad_spec& bad) {
    const char* const name = first_set(names);
    if (name == nullptr || variable(name) != text) throw;
    throw bad_spec(std::string(name) + ": " + bad.what());
  }
}

bool parse_flag(std::string_view name, std::string_view text) {
  constexpr std::array<std::string_view, 4> yes{"1", "true", "yes", "on"};
  constexpr std::array<std::string_view, 5> no{"", "0", "false", "no", "off"};
  if (std::ranges::find(yes, text) != yes.end()) return true;
  if (std::ranges::find(no, text) != no.end()) return false;
  throw std::invalid_argument(std::string(name) + ": \"" + std::string(text.substr(0, 80)) +
                              "\" is neither 1, true, yes, on, nor 0, false, no, off");
}

template <class Duration>
void require_within(const char* what, Duration value, Duration least, Duration most, const char* unit) {
  if (value >= least && value <= most) return;
  throw std::invalid_argument(std::string("app: ") + what + " is " + std::to_string(value.count()) +
                              ", and must be from " + std::to_string(least.count()) + " to " +
                              std::to_string(most.count()) + ' ' + unit);
}

std::string broker_text(const app_options& options) {
  return options.broker.empty() ? std::string(default_broker) : options.broker;
}

void require_sound(const app_options& options) {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  require_within("result_expires", options.result_expires, seconds(0), longest_expiry, "seconds");
  require_within("lease", options.lease, shortest_lease, longest_lease, "milliseconds");
  require_within("patience", options.patience, milliseconds(1), longest_patience, "milliseconds");
  if (options.queue.empty()) throw std::invalid_argument("app: the name of the queue is empty");
}

std::string url_in(const json_node& value) {
  std::string text(value.text());
  if (!text.empty()) static_cast<void>(broker_url::parse(text));
  return text;
}

// For what can be set from outside: the members by name.
void set_member(app_options& options, std::string_view name, const json_node& value) {
  constexpr std::uint64_t most = 1'000'000'000;
  if (name == "broker") {
    options.broker = url_in(value);
  } else if (name == "backend") {
    options.backend = url_in(value);
  } else if (name == "queue") {
    options.queue = value.text();
  } else if (name == "result_expires") {
    options.result_expires = std::chrono::seconds(value.natural(most));
  } else if (name == "lease") {
    options.lease = std::chrono::milliseconds(value.natural(most));
  } else if (name == "patience") {
    options.patience = std::chrono::milliseconds(value.natural(most));
  } else if (name == "eager") {
    options.eager = value.boolean();
  } else {
    throw decode_error("there is no option \"" + tutti::detail::redacted(name).substr(0, 80) +
                       "\"; known: broker, backend, queue, result_expires (seconds), lease, patience (milliseconds), "
                       "eager");
  }
}

}  // namespace

app::state::state(app_options given)
    : options(std::move(given)),
      broker_at(parse_url(broker_text(options), broker_variables)),
      results_at(options.backend.empty() ? broker_at : parse_url(options.backend, backend_variables)) {
  require_sound(options);
}

app::app(std::shared_ptr<state> shared) : state_(std::move(shared)) {}

app::app(app_options options) : state_(std::make_shared<state>(std::move(options))) {
  if (state_->options.eager) return;
  auto& current = process_wide<current_app>();
  const std::lock_guard lock(current.mutex);
  if (!current.value) current.value = *this;
}

app app::from_environment() { return app(options_from_environment()); }

app_options app::options_from_environment() {
  app_options options;
  options.broker = first_value(broker_variables);
  options.backend = first_value(backend_variables);
  if (const std::string_view queue = variable("TUTTI_QUEUE"); !queue.empty()) options.queue = queue;
  options.eager = parse_flag("TUTTI_EAGER", variable("TUTTI_EAGER"));
  return options;
}

app app::from_file(const std::filesystem::path& file) { return app(options_from_file(file)); }

app_options app::options_from_file(const std::filesystem::path& file, app_options given) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf())) {
    throw os_error::of("cannot read the settings in " + tutti::detail::redacted(file.string()),
                       errno != 0 ? errno : EIO);
  }
  const std::string prefix = tutti::detail::redacted(file.string()) + ": ";
  try {
    const std::string content = std::move(text).str();
    const json_document document(content);
    const json_node root = document.root();
    if (!root.is_object()) root.fail("wanted an object");
    for (std::size_t i = 0; i < root.size(); ++i) set_member(given, root.key(i), root.at(i));
    require_sound(given);
  } catch (const decode_error& e) {
    throw decode_error(prefix + e.what(), e.offset());
  } catch (const bad_spec& e) {
    throw decode_error(prefix + e.what());
  } catch (const std::invalid_argument& e) {
    throw decode_error(prefix + e.what());
  }
  return given;
}

app app::current() {
  if (const app* const of_task = detail::calling_app()) return *of_task;
  auto& current = process_wide<current_app>();
  {
    const std::lock_guard lock(current.mutex);
    if (current.value) return *current.value;
  }
  const app made = from_environment();  // becomes current itself, unless it is eager
  const std::lock_guard lock(current.mutex);
  if (!current.value) current.value = made;
  return *current.value;
}

void app::make_current() const {
  auto& current = process_wide<current_app>();
  std::optional<app> before = *this;  // dropped behind the lock: ends threads, perhaps
  const std::lock_guard lock(current.mutex);
  std::swap(current.value, before);
}

const app_options& app::options() const noexcept { return state_->options; }

std::shared_ptr<broker> app::tasks() const {
  const std::lock_guard lock(state_->mutex);
  if (state_->tasks == nullptr) {
    state_->tasks = open_broker(state_->broker_at, {state_->options.lease, state_->options.patience});
  }
  return state_->tasks;
}

std::shared_ptr<result_store> app::results() const {
  const std::lock_guard lock(state_->mutex);
  if (state_->results == nullptr) {
    state_->results = open_result_store(state_->results_at, {state_->options.lease, state_->options.patience});
  }
  return state_->results;
}

}  // namespace tutti::cluster
