#include "line_child.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>
#include <stdexcept>
#include <utility>

#include "machine.hpp"

namespace bench {

line_child::line_child(std::vector<std::string> command) : name_(command.at(0)) {
  for (const std::string& word : command) {
    if (word.ends_with(".py")) name_ = word.substr(word.rfind('/') + 1);
  }
  int request[2], answer[2];
  if (pipe2(request, O_CLOEXEC) != 0 || pipe2(answer, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, request[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, answer[1], STDOUT_FILENO);
  const int failed = posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(request[0]);
  close(answer[1]);
  to_ = fdopen(request[1], "w");
  from_ = fdopen(answer[0], "r");
  if (failed != 0) {
    pid_ = 0;
    std::fprintf(stderr, "no %s here: its rows are missing\n", argv[0]);
    return;
  }
  count_as_own(pid_);
}

line_child::~line_child() {
  std::fclose(to_);
  std::fclose(from_);
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
}

std::vector<double> line_child::ask(const std::string& request) {
  std::fprintf(to_, "%s\n", request.c_str());
  std::fflush(to_);
  char line[65536];
  if (std::fgets(line, sizeof line, from_) == nullptr) throw std::runtime_error(name_ + " died during: " + request);
  std::string text = line;
  if (text.starts_with("error")) throw std::runtime_error(name_ + ": " + request + ": " + text);
  std::vector<double> values;
  std::istringstream in(text);
  for (double v; in >> v;) values.push_back(v);
  return values;
}

}  // namespace bench
