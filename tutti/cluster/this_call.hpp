// this_call: what a task can ask of itself while it runs.
#pragma once
#include <tutti/base/json.hpp>
#include <tutti/base/log.hpp>
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/message.hpp>

#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace tutti::cluster {

/// How a task asks to be tried again.
struct retry_options {
  std::optional<std::chrono::nanoseconds> countdown = {};  ///< absent: the task's backoff
  std::string reason = {};                                 ///< for the result's state RETRY and events
  std::optional<int> max_retries = {};                     ///< absent: the task's
};

namespace detail {

/// What a worker, or an eager app, tells a task. It lives on the stack of who runs it.
struct call_context {
  const task_message* message = nullptr;
  const app* where = nullptr;  ///< that the task came to, and its own calls go to; null: the current one
  std::optional<wall_time> deadline = {};
  std::stop_token stop = {};
  std::string worker;  ///< hostname of the worker; empty: eager
  /// Stores a state (status, JSON). Throws broker_error.
  void (*update)(const call_context& self, std::string_view status, std::string_view json) = nullptr;
  void* user = nullptr;  ///< for `update`
};

/// Makes `context` this thread's while it lives.
class call_scope {
 public:
  explicit call_scope(const call_context& context) noexcept;
  ~call_scope();
  call_scope(const call_scope&) = delete;
  call_scope& operator=(const call_scope&) = delete;

 private:
  const call_context* before_;
};

/// What this_call::retry throws; derived from nothing, so that a task's own `catch` lets it pass.
struct retry_request {
  retry_options how;
};

void update_state(std::string_view status, std::string_view json);
/// Where the task of this thread sends its calls; null: it says nothing of that, or there is none.
[[nodiscard]] const app* calling_app() noexcept;

}  // namespace detail

/// Inside a task that a worker runs, on its own thread: what it is. Elsewhere all throw std::logic_error, but for
/// running().
namespace this_call {

/// Whether this thread runs a task.
[[nodiscard]] bool running() noexcept;
/// Its number, a UUID.
[[nodiscard]] const std::string& id();
/// Its name.
[[nodiscard]] const std::string& task();
/// Attempts before this one.
[[nodiscard]] int retries();
/// The whole message.
[[nodiscard]] const task_message& message();
/// A header that the sender gave, as JSON text; nothing when there is none.
[[nodiscard]] std::optional<std::string> header(std::string_view name);
/// The worker's name, "tutti@host".
[[nodiscard]] const std::string& worker();
/// When its time limit ends, if it has one.
[[nodiscard]] std::optional<std::chrono::system_clock::time_point> deadline();
/// Set when the soft time limit is over, or on a worker's thread the hard one, when it is revoked with terminate, and
/// when its worker is shut down cold.
[[nodiscard]] std::stop_token stop_token();

/// Tells who asks for the result how far it is: state "PROGRESS", or another that is none of Celery's. Blocks for a
/// round trip to the result store; throws broker_error, std::invalid_argument for one of Celery's final states.
template <class T>
void update_state(const T& progress, std::string_view status = "PROGRESS") {
  detail::update_state(status, encode_json(progress));
}

/// Ends this attempt, and asks for another one. When no retries are left, the task fails with the exception that is
/// being handled, or else with a max_retries_exceeded.
[[noreturn]] void retry(retry_options how = {});

/// A line in the log, with the task's name and id.
void log(log_level level, std::string_view text);

}  // namespace this_call

/// A task asked for another attempt, and had none left.
struct max_retries_exceeded : error {
  using error::error;
};

}  // namespace tutti::cluster
