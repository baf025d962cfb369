#include "server.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>

#include "machine.hpp"
#include "python.hpp"

namespace bench {

namespace {

constexpr std::string_view flag = "--serve=";

// The number that a new server prints; 0 when it ends or is silent.
int read_port(int from) {
  std::string line;
  constexpr int patience_ms = 20'000;
  for (pollfd ready{from, POLLIN, 0}; poll(&ready, 1, patience_ms) > 0;) {
    char c = 0;
    if (read(from, &c, 1) != 1) return 0;
    if (c == '\n') return std::atoi(line.c_str());
    line += c;
  }
  return 0;
}

}  // namespace

void announce(int port) {
  std::printf("%d\n", port);
  std::fflush(stdout);
}

void serve_python(const std::string& script, const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {python_interpreter(), "-IB", source_folder() + "/" + script};
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  throw std::runtime_error("cannot start " + command[0] + ": " + std::strerror(errno));
}

bool served(int argc, char** argv, std::span<const server> servers, int& status) {
  if (argc != 2 || !std::string_view(argv[1]).starts_with(flag)) return false;
  const std::string_view name = std::string_view(argv[1]).substr(flag.size());
  status = 1;
  end_with_parent();
  for (const server& s : servers) {
    if (name != s.system) continue;
    try {
      s.serve();
      status = 0;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "the server %s: %s\n", s.system, e.what());
    }
    return true;
  }
  std::fprintf(stderr, "unknown server \"%s\"; known:", argv[1] + flag.size());
  for (const server& s : servers) std::fprintf(stderr, " \"%s\"", s.system);
  std::fprintf(stderr, "\n");
  return true;
}

void end_with_parent() { prctl(PR_SET_PDEATHSIG, SIGKILL); }

void allow_files(unsigned long count) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= count) return;
  const unsigned long hard = limit.rlim_max;
  limit = {count, std::max<rlim_t>(count, hard)};
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    throw std::runtime_error("this needs " + std::to_string(count) + " open files, and the hard limit is " +
                             std::to_string(hard) + "; raise it (ulimit -Hn)");
  }
}

server_process::server_process(std::string_view system, int cpu) {
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  std::string name = "server", argument = std::string(flag) + std::string(system);
  char* argv[] = {name.data(), argument.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  pin(cpu);  // children run where this thread does
  const int failed = posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv, environ);
  unpin();
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  if (failed == 0) port_ = read_port(out[0]);
  close(out[0]);
  if (port_ > 0) return;
  if (failed == 0) end();
  throw std::runtime_error("the server " + std::string(system) + " did not start: it told no port");
}

server_process::~server_process() { end(); }

void server_process::end() {
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

double cpu_seconds(pid_t pid) {
  clockid_t clock{};
  timespec used{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
    throw std::runtime_error("no process " + std::to_string(pid));
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

}  // namespace bench
