#include "python.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <stdexcept>

#include "machine.hpp"

namespace bench {

std::string source_folder() {
  if (const char* set = std::getenv("TUTTI_BENCH_DIR")) return set;
  return TUTTI_BENCH_SOURCES;
}

std::string python_interpreter() {
  // Debian's own before another in PATH: it is built with all optimisations and sees Debian's packages. Python starts
  // its children by the name that it was given itself.
  return access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3";
}

python::python() {
  int request[2], answer[2];
  if (pipe2(request, O_CLOEXEC) != 0 || pipe2(answer, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  std::string interpreter = python_interpreter();
  std::string script = source_folder() + "/harness/peer.py", isolated = "-IB";  // and no caches beside the sources
  char* argv[] = {interpreter.data(), isolated.data(), script.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, request[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, answer[1], STDOUT_FILENO);
  int failed = posix_spawnp(&pid_, interpreter.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(request[0]);
  close(answer[1]);
  to_ = fdopen(request[1], "w");
  from_ = fdopen(answer[0], "r");
  if (failed != 0) {
    pid_ = 0;
    std::fprintf(stderr, "no python3 here: its rows are missing\n");
    return;
  }
  count_as_own(pid_);
}

python::~python() {
  std::fclose(to_);  // end of input ends the script
  std::fclose(from_);
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
}

std::vector<double> python::ask(const std::string& request) {
  std::fprintf(to_, "%s\n", request.c_str());
  std::fflush(to_);
  char line[65536];
  if (std::fgets(line, sizeof line, from_) == nullptr) throw std::runtime_error("peer.py died during: " + request);
  std::string text = line;
  if (text.starts_with("error")) throw std::runtime_error("peer.py: " + request + ": " + text);
  std::vector<double> values;
  std::istringstream in(text);
  for (double v; in >> v;) values.push_back(v);
  return values;
}

}  // namespace bench
