// executor_list: where code can run on this machine with this build, and what is missing for the rest.
#pragma once
#include <tutti/core/make_executor.hpp>

#include <iosfwd>
#include <string>

namespace tutti::app {

/// Why this kind cannot be used here and now, and how to get it; empty when it can.
std::string missing_for(const executor_kind& kind);

/// All kinds of executors for people: how to name them, what they are, what is missing.
void write_executors(std::ostream& out);

}  // namespace tutti::app
