#include "child.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace bench {

namespace {

// What the program `file` prints, started with these arguments, the first of which is its name.
std::string run(const char* file, std::vector<std::string> args) {
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  std::vector<char*> argv;
  for (std::string& a : args) argv.push_back(a.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  pid_t pid = 0;
  int failed = posix_spawnp(&pid, file, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  if (failed != 0) {
    close(out[0]);
    throw std::system_error(failed, std::generic_category(), std::string("cannot start ") + file);
  }

  std::string text;
  char buffer[512];
  for (ssize_t n; (n = read(out[0], buffer, sizeof buffer)) != 0;) {
    if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
    if (n < 0 && errno != EINTR) break;
  }
  close(out[0]);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) {
    std::string what = "the child";
    for (const std::string& a : args) what += " " + a;
    throw std::runtime_error(what + " failed with wait status " + std::to_string(status));
  }
  return text;
}

}  // namespace

std::vector<double> probe(const std::vector<std::string>& args) {
  std::vector<std::string> command = {"bench", "--probe"};
  command.insert(command.end(), args.begin(), args.end());
  std::istringstream in(run("/proc/self/exe", std::move(command)));
  std::vector<double> values;
  for (double v; in >> v;) values.push_back(v);
  return values;
}

std::string output_of(const std::vector<std::string>& command) { return run(command.at(0).c_str(), command); }

std::vector<std::string> probe_arguments(int argc, char** argv) {
  if (argc < 3 || std::strcmp(argv[1], "--probe") != 0) return {};
  return {argv + 2, argv + argc};
}

}  // namespace bench
