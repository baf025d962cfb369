// run_command_testing: for tests, the command line in this process, with what it wrote.
#pragma once
#include <apps/tutti/command_line.hpp>

#include <sstream>
#include <string>
#include <vector>

namespace tutti::app {

/// How a command ended.
struct outcome {
  int code = 0;
  std::string out = {};
  std::string err = {};
};

/// Runs `tutti ARGUMENTS`; `terminal`: as if standard error were one.
inline outcome run(std::vector<const char*> arguments, bool terminal = false) {
  arguments.insert(arguments.begin(), "tutti");
  std::ostringstream out;
  std::ostringstream err;
  const int code = run_command(static_cast<int>(arguments.size()), arguments.data(), out, err, terminal);
  return {code, out.str(), err.str()};
}

}  // namespace tutti::app
