// make_executor: executors by name, from the modules that the program links.
#pragma once
#include <tutti/core/executor.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

/// Makes the executor that `spec` names: "inline", "threads" (the default pool, shared), "threads:N" (N threads of its
/// own), "processes[:N]", "ranks", "redis://host", ... as far as the program links the modules they are in; linking is
/// enough. Throws bad_spec for a malformed or unknown text, naming the known ones, and not_registered when the module
/// is not linked, naming it.
std::unique_ptr<executor> make_executor(std::string_view spec);

/// A kind of executor, as a module makes it known.
struct executor_kind {
  std::string_view scheme;       ///< what a spec begins with, up to the colon: "threads"
  std::string_view usage;        ///< for messages: "threads[:N]"
  std::string_view module;       ///< "tutti::core"
  std::string_view description;  ///< one line for people
  /// Makes it from the whole spec, which begins with the scheme. Throws bad_spec.
  std::unique_ptr<executor> (*make)(std::string_view spec) = nullptr;
  /// Empty when it can be used on this machine, now; else what is missing and how to get it.
  std::string (*missing)() = nullptr;
};

/// Adds a kind. Called by a module's register.cpp while the program starts.
void register_executor(const executor_kind& kind);

/// All kinds there are, in a fixed order; those whose module is not linked have a null `make`.
std::vector<executor_kind> executor_kinds();

/// The number behind the colon of `spec`, from 1 to `most`; 0 when there is no colon. Throws bad_spec otherwise.
int count_in_spec(std::string_view spec, int most);

}  // namespace tutti
