// broker_choice: where a command finds the tasks: its options, or the environment.
#pragma once
#include <tutti/cluster/app.hpp>

#include <chrono>
#include <string>

// NOLINTBEGIN(readability-identifier-naming): CLI11's names
namespace CLI {
class App;
}  // namespace CLI
// NOLINTEND(readability-identifier-naming)

namespace tutti::app {

struct broker_choice {
  std::string broker = {};   ///< empty: as the environment says
  std::string backend = {};  ///< the same
};

/// Makes `--broker`, and `--backend` where a command reads results, options of `command`.
void add_broker_options(CLI::App& command, broker_choice& choice, bool with_results);

/// The app of a command. Throws bad_spec for a URL that is wrong.
[[nodiscard]] cluster::app open_app(const broker_choice& choice);

/// Seconds of an option; at most some ten years.
[[nodiscard]] std::chrono::milliseconds milliseconds_of(double seconds);

/// Lines where JSON may come from elsewhere: "key: value" for objects, one line for each element of an array, else the
/// text or the JSON itself; each begins with `indent`.
[[nodiscard]] std::string readable(const std::string& json, const std::string& indent);

}  // namespace tutti::app
