#include <tutti/cluster/this_call.hpp>

#include <tutti/base/error.hpp>
#include <tutti/cluster/inside/running_settings.hpp>
#include <tutti/cluster/inside/worker/task_run.hpp>
#include <tutti/cluster/result_text.hpp>
#include <tutti/cluster/task_registry.hpp>

#include <exception>
#include <stdexcept>
#include <utility>

namespace tutti::cluster {
namespace {

constinit thread_local const detail::call_context* current = nullptr;
constinit thread_local const task_settings* current_settings = nullptr;
// The call that has asked for an attempt that it could not have: it fails with what leaves it.
constinit thread_local const detail::call_context* refused = nullptr;

const detail::call_context& here(const char* asked) {
  if (current != nullptr) return *current;
  throw std::logic_error(std::string("this_call::") + asked +
                         ": no task runs on this thread; ask on the thread that calls the task's function");
}

// Of the task that runs; nothing: for ever. None are known to be wanted of one that nobody knows.
std::optional<int> most_retries(const task_message& message) {
  if (current_settings != nullptr) return current_settings->max_retries;
  const registered_task* const task = find_task(message.task);
  return task != nullptr ? task->settings.max_retries : 0;
}

std::string what_is_handled() {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

}  // namespace

namespace detail {

call_scope::call_scope(const call_context& context) noexcept : before_(std::exchange(current, &context)) {
  refused = nullptr;
}
call_scope::~call_scope() { current = before_; }

running_settings::running_settings(const task_settings& settings) noexcept
    : before_(std::exchange(current_settings, &settings)) {}
running_settings::~running_settings() { current_settings = before_; }

bool was_refused(const call_context& context) noexcept { return refused == &context; }

const app* calling_app() noexcept { return current != nullptr ? current->where : nullptr; }

void update_state(std::string_view status, std::string_view json) {
  const call_context& self = here("update_state");
  if (status.empty() || state::is_final(status)) {
    throw std::invalid_argument("this_call::update_state: \"" + std::string(status) +
                                "\" is no state on the way; a task ends by returning or throwing");
  }
  if (self.update != nullptr) self.update(self, status, json);
}

}  // namespace detail

namespace this_call {

bool running() noexcept { return current != nullptr; }
const std::string& id() { return here("id").message->id; }
const std::string& task() { return here("task").message->task; }
int retries() { return here("retries").message->retries; }
const task_message& message() { return *here("message").message; }

std::optional<std::string> header(std::string_view name) {
  const auto& headers = here("header").message->headers;
  const auto found = headers.find(std::string(name));
  if (found == headers.end()) return {};
  return found->second;
}

const std::string& worker() { return here("worker").worker; }
std::optional<std::chrono::system_clock::time_point> deadline() { return here("deadline").deadline; }
std::stop_token stop_token() { return here("stop_token").stop; }

void retry(retry_options how) {
  const detail::call_context& self = here("retry");
  const task_message& message = *self.message;
  std::optional<int> most = how.max_retries;
  if (!most) most = most_retries(message);
  if (most && message.retries >= *most) {
    refused = &self;
    if (std::current_exception()) throw;
    throw max_retries_exceeded("task " + message.task + "[" + message.id + "] asked for another attempt, and had " +
                               std::to_string(*most) + " retries at most");
  }
  if (how.reason.empty() && std::current_exception()) how.reason = what_is_handled();
  throw detail::retry_request{std::move(how)};
}

void log(log_level level, std::string_view text) {
  const task_message& message = *here("log").message;
  tutti::log(level, text, {{"task", message.task}, {"id", message.id}});
}

}  // namespace this_call
}  // namespace tutti::cluster
