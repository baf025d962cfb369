// A plugin: what it registers meets the other plugin's, registry_beta_testlib.cpp, in registry_test.cpp.
#include <tutti/base/registry.hpp>

namespace plugins {

std::string greet(std::string_view name) { return "alpha greets " + std::string(name); }
std::string who() { return "alpha"; }
int changed(int a) { return a; }

}  // namespace plugins

// Mentioned, never called: that is enough.
[[maybe_unused]] const auto alpha_greet = tutti::fn<plugins::greet>;
[[maybe_unused]] const auto alpha_who = tutti::fn<plugins::who>;
[[maybe_unused]] const auto alpha_changed = tutti::fn<plugins::changed>;
