// broker_choice: where a command finds the tasks: its options, or the environment.
#pragma once
#include <tutti/cluster/app.hpp>

#include <chrono>
#include <stdexcept>
#include <string>

// NOLINTBEGIN(readability-identifier-naming): CLI11's names
namespace CLI {
class App;
class Option;
}  // namespace CLI
// NOLINTEND(readability-identifier-naming)

namespace tutti::app {

struct broker_choice {
  std::string broker = {};   ///< empty: as the environment says
  std::string backend = {};  ///< the same
  std::string config = {};   ///< a file with settings; empty: none
};

/// Makes `--broker`, `--config`, and `--backend` where a command reads results, options of `command`.
void add_broker_options(CLI::App& command, broker_choice& choice, bool with_results);

/// A file with settings cannot be read; what() names it.
struct no_settings : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The app of a command. Throws bad_spec for a URL that is wrong, std::invalid_argument for settings that are,
/// no_settings.
[[nodiscard]] cluster::app open_app(const broker_choice& choice);
/// The same for a command that only looks, or ends what is there: `only_results`, at these; else never at these, and
/// their URL is not read. Throws std::invalid_argument where no such place was given and the default's file does not
/// exist: it is not made.
[[nodiscard]] cluster::app open_existing(const broker_choice& choice, bool only_results = false);

/// Makes an option that takes from `least` to `most` seconds take nothing else.
void take_seconds(CLI::Option& option, double least = 0, double most = 3e8);
/// Seconds of an option; at most some ten years.
[[nodiscard]] std::chrono::milliseconds milliseconds_of(double seconds);

/// Lines where JSON may come from elsewhere: "key: value" for objects, one line for each element of an array, else the
/// text or the JSON itself; each begins with `indent`.
[[nodiscard]] std::string readable(const std::string& json, const std::string& indent);

}  // namespace tutti::app
