// processes: starts and ends the Redis, the clients and the workers of the cluster benchmark.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>

#include "../harness/machine.hpp"
#include "../harness/python.hpp"
#include "../harness/server.hpp"
#include "systems.hpp"

namespace bench::cluster {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view program = "/proc/self/exe";

sockaddr_in loopback(int port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(static_cast<in_port_t>(port));
  return at;
}

int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at = loopback(0);
  socklen_t size = sizeof at;
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&at), size) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0;
  close(fd);
  if (!bound) throw std::runtime_error("no free port on 127.0.0.1");
  return ntohs(at.sin_port);
}

bool answers(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at = loopback(port);
  char pong[8] = {};
  const bool there = connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 && write(fd, "PING\r\n", 6) == 6 &&
                     read(fd, pong, sizeof pong - 1) > 0 && std::string_view(pong).starts_with("+PONG");
  close(fd);
  return there;
}

// What it prints goes nowhere; what it complains about is shown. It is told to end when this process has.
pid_t start(std::vector<std::string> command) {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();  // this program has no other threads
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    execvp(argv[0], argv.data());
    std::fprintf(stderr, "cannot start %s\n", argv[0]);
    _exit(127);
  }
  if (pid < 0) throw std::runtime_error("cannot start " + command.at(0));
  count_as_own(pid);
  return pid;
}

// True once `pid` has ended; waits for that.
bool ended_within(pid_t pid, std::chrono::milliseconds patience) {
  for (const auto until = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < until;) {
    if (waitpid(pid, nullptr, WNOHANG) == pid) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

std::vector<pid_t> family(pid_t pid) {
  std::vector<pid_t> all = {pid};
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone)) {
    std::ifstream in(task.path() / "children");
    for (pid_t child = 0; in >> child;) {
      const std::vector<pid_t> theirs = family(child);
      all.insert(all.end(), theirs.begin(), theirs.end());
    }
  }
  return all;
}

void end(pid_t pid) {
  if (pid <= 0) return;
  const std::vector<pid_t> all = family(pid);
  kill(pid, SIGTERM);
  if (ended_within(pid, 5s)) return;
  for (const pid_t one : all) kill(one, SIGKILL);
  waitpid(pid, nullptr, 0);
}

}  // namespace

redis_server::redis_server() : port_(free_port()) {
  std::string name = (std::filesystem::temp_directory_path() / "tutti_bench_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder " + name);
  folder_ = name;
  pid_ = start({"redis-server", "--port", std::to_string(port_), "--bind", "127.0.0.1", "--dir", folder_, "--save", "",
                "--appendonly", "no", "--loglevel", "warning", "--logfile", folder_ / "redis.log"});
  for (const auto until = std::chrono::steady_clock::now() + 20s; !answers(port_);) {
    if (std::chrono::steady_clock::now() > until) throw std::runtime_error("redis-server does not answer");
    std::this_thread::sleep_for(10ms);
  }
}

redis_server::~redis_server() {
  end(pid_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

worker_process::worker_process(std::vector<std::string> command) : pid_(start(std::move(command))) {}

worker_process::~worker_process() { end(pid_); }

long worker_process::share_kib() const {
  long sum = 0;
  for (const pid_t one : family(pid_)) sum += memory_of(one).share_kib;
  return sum;
}

std::vector<std::string> tutti_client(const std::string& url) {
  return {std::filesystem::read_symlink(program), "--client", url};
}

std::vector<std::string> celery_client(const std::string& url) {
  return {python_interpreter(), "-IB", source_folder() + "/cluster/celery_client.py", url};
}

std::vector<std::string> tutti_worker(const std::string& url, const std::string& queue, const std::string& pool) {
  return {std::filesystem::read_symlink(program), "--worker", url, queue, pool};
}

std::vector<std::string> celery_worker(const std::string& url, const std::string& queue, const std::string& pool) {
  return {python_interpreter(),
          "-IB",
          source_folder() + "/cluster/celery_tasks.py",
          url,
          queue,
          "64",
          "-P",
          pool,
          "-c",
          pool == "solo" ? "1" : "2",
          "-O",
          "fair",
          "--without-gossip",
          "--without-mingle",
          "--without-heartbeat",
          "-l",
          "ERROR"};
}

bool played_a_part(int argc, char** argv, int& status) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const bool client = words.size() == 2 && words[0] == "--client";
  const bool worker = words.size() == 4 && words[0] == "--worker";
  if (!client && !worker) return false;
  end_with_parent();
  try {
    status = client ? serve_client(words[1]) : run_worker(words[1], words[2], words[3]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", words[0].c_str(), e.what());
    status = 1;
  }
  return true;
}

}  // namespace bench::cluster
