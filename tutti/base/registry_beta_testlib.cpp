// A plugin: what it registers meets the other plugin's, registry_alpha_testlib.cpp, in registry_test.cpp.
#include <tutti/base/registry.hpp>

namespace plugins {

std::string who() { return "beta"; }
long changed(long a, long b) { return a + b; }
int first(int a) { return a; }
int second(int a) { return a + 1; }

}  // namespace plugins

[[maybe_unused]] const auto beta_who = tutti::fn<plugins::who>;
[[maybe_unused]] const auto beta_changed = tutti::fn<plugins::changed>;
// One name for two functions: a mistake that the registry must tell.
[[maybe_unused]] const auto beta_first = tutti::fn<tutti::named<"plugins.twice", plugins::first>>;
[[maybe_unused]] const auto beta_second = tutti::fn<tutti::named<"plugins.twice", plugins::second>>;
