// server: a server under load is a process of its own: this program again with --serve=SYSTEM, or what that executes.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// A server that a benchmark measures: its name in the tables, and what its process does. `serve` listens on 127.0.0.1
/// at a port of the kernel's choice, with room for `backlog` connections not yet accepted, calls `announce`, and
/// serves until the process is killed. It may throw before; then its system leaves the case.
struct server {
  const char* system;
  void (*serve)();
};

constexpr int backlog = 4096;  ///< Linux allows no more by default

/// Tells the benchmark the port at which this process listens.
void announce(int port);

/// Becomes `python3 SCRIPT ARGUMENT...`, a script of the benchmarks' source folder that listens and prints its port.
[[noreturn]] void serve_python(const std::string& script, const std::vector<std::string>& arguments);

/// In main, first: true when this process is a server of the list that has ended (with `status`, for main to return).
bool served(int argc, char** argv, std::span<const server> servers, int& status);

/// In the child of a benchmark: it is killed when its parent ends.
void end_with_parent();

/// Lets this process and its children open at least `count` files. Throws std::runtime_error when that is not allowed.
void allow_files(unsigned long count);

/// A server's process. It listens when the constructor returns, and is killed by the destructor.
class server_process {
 public:
  /// Starts the server of that name on CPU `cpu`. Throws std::runtime_error when it ends or stays silent for 20 s.
  server_process(std::string_view system, int cpu);
  ~server_process();
  server_process(const server_process&) = delete;
  server_process& operator=(const server_process&) = delete;

  int port() const noexcept { return port_; }
  pid_t pid() const noexcept { return pid_; }

 private:
  void end();

  pid_t pid_ = 0;
  int port_ = 0;
};

/// CPU seconds of process `pid`, all its threads, to the nanosecond. Throws std::runtime_error when there is none.
double cpu_seconds(pid_t pid);

}  // namespace bench
