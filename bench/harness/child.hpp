// child: runs part of a benchmark in a fresh process of the same program, where memory and threads can be counted.
#pragma once

#include <string>
#include <vector>

namespace bench {

/// Runs this program again with `--probe args...` and returns the numbers it prints, one per line.
/// Throws std::runtime_error when it fails.
std::vector<double> probe(const std::vector<std::string>& args);

/// Runs `command`, found in PATH, and returns what it prints. Throws std::system_error when it cannot be started, and
/// std::runtime_error when it fails.
std::string output_of(const std::vector<std::string>& command);

/// In main: the arguments after `--probe` when this process is such a child, else empty.
std::vector<std::string> probe_arguments(int argc, char** argv);

}  // namespace bench
