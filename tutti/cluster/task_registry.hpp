// task_registry: the tasks that this program can run, by the name that messages call them.
#pragma once
#include <tutti/base/error.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::cluster {

/// When a message is taken off the broker.
enum class ack : unsigned char {
  late,  ///< when its task has ended: it runs again when its worker dies
  early  ///< before its task begins: it runs at most once
};

/// How a task behaves. Designated initialisers, in this order.
struct task_settings {
  std::string name = {};                   ///< in messages; empty: the function's, "calc::add" as "calc.add"
  std::string queue = {};                  ///< empty: the app's
  std::vector<std::string> params = {};    ///< names of its parameters, all or none: for arguments by name
  std::vector<std::string> defaults = {};  ///< of its last parameters, made by defaults()
  std::optional<int> max_retries = 3;      ///< nothing: for ever
  std::chrono::nanoseconds retry_delay = std::chrono::seconds(1);  ///< before the first retry
  std::chrono::nanoseconds retry_delay_max = std::chrono::minutes(10);
  bool retry_backoff = true;                                   ///< doubles with each retry
  bool retry_jitter = true;                                    ///< anything from half to all of the delay
  std::vector<bool (*)(const std::exception&)> retry_on = {};  ///< on<E>; besides what is_retryable
  ack acknowledge = ack::late;
  std::optional<std::chrono::nanoseconds> time_limit = {};       ///< then it is killed (processes) or given up
  std::optional<std::chrono::nanoseconds> soft_time_limit = {};  ///< then it is asked to stop
  std::optional<int> priority = {};                              ///< 0 to 9, bigger is sooner
  std::optional<std::chrono::seconds> result_expires = {};       ///< nothing: the app's; 0: never
  bool ignore_result = false;
  bool track_started = false;
  bool dedupe = false;          ///< a message whose result is a success already is not run again
  std::string rate_limit = {};  ///< "10/s", "100/m", "1/h"; per worker; empty: none
};

/// Arguments of a message that do not fit: what was expected and what came, per position. Python sees TypeError.
struct argument_error : error {
  using error::error;
};

/// A task that can be run here.
struct registered_task {
  task_settings settings;
  std::string signature;  ///< for people: "tasks.add(a, b)"
  /// Runs it: `args` is a JSON array, `kwargs` an object; gives its result as JSON. Throws argument_error for arguments
  /// that do not fit, and what the task throws.
  std::function<std::string(std::string_view args, std::string_view kwargs)> run;
  const char* library = "";  ///< that it is in
};

/// The task of that name, or null. Valid while its library is loaded. Thread-safe.
[[nodiscard]] const registered_task* find_task(std::string_view name);
/// All of them, by name. Thread-safe.
[[nodiscard]] std::vector<const registered_task*> registered_tasks();

/// Enters a task for as long as it lives. Throws ambiguous_function when another one has the name.
class task_registration {
 public:
  explicit task_registration(registered_task task);
  ~task_registration();
  task_registration(const task_registration&) = delete;
  task_registration& operator=(const task_registration&) = delete;

 private:
  const registered_task* entry_;
};

}  // namespace tutti::cluster
