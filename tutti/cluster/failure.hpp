// failure: how a task failed, as Celery keeps it: readable for Python, and for us the exception itself.
#pragma once
#include <tutti/base/error.hpp>

#include <exception>
#include <string>
#include <string_view>

namespace tutti::cluster {

/// An exception that has left its task.
struct task_failure {
  std::string type = "Exception";  ///< Python's name of its class: "ValueError" for std::invalid_argument
  std::string module = "builtins";
  std::string args = "[]";  ///< JSON array: what the class is made from, mostly the text
  std::string traceback;    ///< for people; may be empty
  std::string native;       ///< encode_exception(): empty when the task was not ours
};

/// What happened to `thrown`; standard exceptions and ours get the Python class that is nearest, others one of their
/// own name (as Celery does for classes that it does not find); something that is no std::exception too. `stack`: see
/// encode_exception.
[[nodiscard]] task_failure describe_failure(const std::exception_ptr& thrown, std::string (*stack)() = nullptr);
/// A failure of ours by name: `celery.exceptions`' "TimeLimitExceeded", "WorkerLostError", "NotRegistered", ...
[[nodiscard]] task_failure celery_failure(std::string_view type, std::string_view text);

/// The exception again: as itself when it was ours, as the nearest of ours for Celery's own (TimeLimitExceeded ->
/// timed_out, TaskRevokedError -> cancelled, WorkerLostError -> worker_lost), as the standard's for Python's builtins
/// that have one, else a remote_error with Python's class and traceback.
[[nodiscard]] std::exception_ptr restore_failure(const task_failure& failure);

}  // namespace tutti::cluster
