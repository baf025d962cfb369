// child: runs part of a benchmark in a fresh process of the same program, where memory and threads can be counted.
#pragma once

#include <string>
#include <vector>

namespace bench {

/// Runs this program again with `--probe args...` and returns the numbers it prints, one per line.
/// Throws std::runtime_error when it fails.
std::vector<double> probe(const std::vector<std::string>& args);

/// In main: the arguments after `--probe` when this process is such a child, else empty.
std::vector<std::string> probe_arguments(int argc, char** argv);

}  // namespace bench
