// http: servers that answer "hello, world" to 50 clients that keep their connections; the clients are wrk.
#include <cstdio>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "harness/child.hpp"
#include "harness/distance.hpp"
#include "harness/harness.hpp"
#include "harness/machine.hpp"
#include "harness/server.hpp"
#include "http/client.hpp"
#include "http/systems.hpp"

namespace {

using bench::better;

void serve_aiohttp() { bench::serve_python("http/server.py", {"asyncio"}); }
void serve_aiohttp_uvloop() { bench::serve_python("http/server.py", {"uvloop"}); }

constexpr bench::server servers[] = {{"tutti", bench::http::serve_tutti},
                                     {"Beast", bench::http::serve_beast},
                                     {"aiohttp", serve_aiohttp},
                                     {"aiohttp on uvloop", serve_aiohttp_uvloop}};

// The number behind `label` in wrk's text, in microseconds where it has a unit of time.
double figure(const std::string& text, const std::string& label) {
  const std::size_t at = text.find(label);
  if (at == std::string::npos) throw std::runtime_error("wrk told no \"" + label + "\": " + text);
  std::istringstream in(text.substr(at + label.size()));
  double value = 0;
  std::string unit;
  if (!(in >> value)) throw std::runtime_error("wrk told no number after \"" + label + "\": " + text);
  in >> unit;
  return unit == "ms" ? value * 1e3 : unit == "s" ? value * 1e6 : value;
}

struct sample {
  double rate, p50, p99;
};

// wrk counts what it gets, but does not look at it.
sample wrk(int port, int cpu, int seconds) {
  bench::pin(cpu);  // wrk runs where its parent did
  std::string text;
  try {
    text = bench::output_of({"wrk", "--threads=1", "--connections=50", "--latency",
                             "--duration=" + std::to_string(seconds) + "s",
                             "http://127.0.0.1:" + std::to_string(port) + "/"});
  } catch (...) {
    bench::unpin();
    throw;
  }
  bench::unpin();
  for (const char* trouble : {"Socket errors", "Non-2xx"}) {
    if (text.find(trouble) != std::string::npos) throw std::runtime_error("wrk saw errors: " + text);
  }
  return {figure(text, "Requests/sec:"), figure(text, " 50%"), figure(text, " 99%")};
}

// Whether wrk is there; -v makes it print its version and exit with 1.
void find_wrk() {
  try {
    bench::output_of({"wrk", "-v"});
  } catch (const std::system_error& missing) {
    throw std::runtime_error(std::string(missing.what()) + "; the http benchmark needs it: install the package wrk");
  } catch (const std::runtime_error&) {
  }
}

}  // namespace

int main(int argc, char** argv) try {
  int status = 0;
  if (bench::served(argc, argv, servers, status)) return status;
  bench::session session("http", argc, argv);
  find_wrk();
  const std::vector<int>& cpus = bench::startup_cpus();
  const int server_cpu = cpus[0], client_cpu = cpus[cpus.size() < 2 ? 0 : 1];
  std::vector<bench::subject> subjects;
  for (const bench::server& s : servers) {
    std::shared_ptr<bench::server_process> server;
    const bool hurried = session.quick();
    const int seconds = hurried ? 1 : 2;
    subjects.push_back({s.system, [=, &s]() mutable -> std::vector<double> {
                          if (server == nullptr) {
                            server = std::make_shared<bench::server_process>(s.system, server_cpu);
                            bench::http::check(server->port());
                          }
                          if (!hurried) bench::wait_until_near(server_cpu, client_cpu);
                          const double before = bench::cpu_seconds(server->pid());
                          const sample taken = wrk(server->port(), client_cpu, seconds);
                          const double used = bench::cpu_seconds(server->pid()) - before;
                          return {taken.rate, taken.p50, taken.p99, used * 1e6 / (taken.rate * seconds)};
                        }});
  }
  session.compare({{"hello, 50 connections, requests", "requests/s", better::more},
                   {"hello, 50 connections, p50", "us"},
                   {"hello, 50 connections, p99", "us"},
                   {"hello, 50 connections, server CPU", "us/request"}},
                  1, session.reps(7, 1), std::move(subjects), !session.quick());
  return session.finish();
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
