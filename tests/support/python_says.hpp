// python_says: what Debian's Python, which has Celery, makes of a file.
#pragma once
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

namespace tutti_test {

/// Runs `BASE.py`, which is written and removed here, with `BASE.json`, which is removed too; all that it has printed.
inline std::string python_says(const std::string& base, const std::string& script) {
  std::ofstream(base + ".py") << script;
  std::string said;
  {
    const std::string command = "/usr/bin/python3 " + base + ".py " + base + ".json 2>&1";
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
    if (!pipe) return "python3 does not start";
    for (int c = std::fgetc(pipe.get()); c != EOF; c = std::fgetc(pipe.get())) said += static_cast<char>(c);
  }
  std::remove((base + ".json").c_str());
  std::remove((base + ".py").c_str());
  return said;
}

}  // namespace tutti_test
