// app: where tasks go and where their results come from: a broker, a result store, and what holds for all tasks.
#pragma once
#include <tutti/cluster/broker.hpp>
#include <tutti/cluster/result_store.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

namespace tutti::cluster {

/// How an app is made. Designated initialisers, in this order.
struct app_options {
  std::string broker = {};                     ///< URL; empty: the file "sqlite:tutti.db" in the working directory
  std::string backend = {};                    ///< URL of the results; empty: the broker's
  std::string queue = "celery";                ///< where tasks go that name no other
  std::chrono::seconds result_expires{86400};  ///< 0: never; at most ten years
  std::chrono::milliseconds lease{5000};       ///< see broker_options
  std::chrono::milliseconds patience{5000};    ///< see broker_options
  bool eager = false;  ///< tasks run where they are sent, at once: for tests of programs that use them
};

/// A broker and a result store with what is between them; connects when first used. Thread-safe; copies share all.
class app {
 public:
  /// Throws bad_spec for a URL that is wrong, naming the part, and the variable of from_environment that has it;
  /// std::invalid_argument for limits that make no sense. The first app of a process that is not eager becomes
  /// `current()`.
  explicit app(app_options options = {});
  /// From TUTTI_BROKER or CELERY_BROKER_URL, TUTTI_BACKEND or CELERY_RESULT_BACKEND, TUTTI_QUEUE, TUTTI_EAGER. Throws
  /// what the constructor does, naming the variable.
  [[nodiscard]] static app from_environment();
  /// What from_environment makes an app of, for who changes it before: its URLs may be wrong. Throws
  /// std::invalid_argument for TUTTI_EAGER.
  [[nodiscard]] static app_options options_from_environment();
  /// From a JSON object with the names of app_options' members: {"broker": "redis://...", "result_expires": 3600};
  /// result_expires in seconds, lease and patience in milliseconds. Throws os_error when it cannot be read,
  /// decode_error that names the file and what is wrong in it.
  [[nodiscard]] static app from_file(const std::filesystem::path& file);
  /// What from_file makes an app of; what the file leaves out is as in `given`. Throws as from_file.
  [[nodiscard]] static app_options options_from_file(const std::filesystem::path& file, app_options given = {});

  /// The app that functions use which name no other: on the thread of a task the one that it came to; else the last one
  /// made current, else from_environment(), made once.
  [[nodiscard]] static app current();
  /// Makes this one current.
  void make_current() const;

  /// What it was made with.
  [[nodiscard]] const app_options& options() const noexcept;
  /// Its broker, for all calls the same; the first one opens it, and throws broker_error when that fails.
  [[nodiscard]] std::shared_ptr<broker> tasks() const;
  /// Its result store; as tasks().
  [[nodiscard]] std::shared_ptr<result_store> results() const;

 private:
  friend class result_hub_access;
  struct state;
  explicit app(std::shared_ptr<state> shared);
  std::shared_ptr<state> state_;
};

}  // namespace tutti::cluster
