// echo: servers that send back what they get: messages per second, latency and CPU by connections and size; new
// connections; memory of silent ones.
#include <cstdio>
#include <memory>
#include <string>

#include "echo/load.hpp"
#include "echo/systems.hpp"
#include "harness/child.hpp"
#include "harness/distance.hpp"
#include "harness/harness.hpp"
#include "harness/machine.hpp"
#include "harness/server.hpp"

namespace {

using bench::better;
using bench::metric;

template <char const* Loop, char const* Interface>
void python() {
  bench::serve_python("echo/server.py", {Loop, Interface});
}
constexpr char asyncio[] = "asyncio", uvloop[] = "uvloop", streams[] = "streams", protocol[] = "protocol";

constexpr bench::server servers[] = {{"tutti", bench::echo::serve_tutti},
                                     {"asio", bench::echo::serve_asio},
                                     {"asio, one buffer", bench::echo::serve_asio_one_buffer},
                                     {"libuv", bench::echo::serve_libuv},
                                     {"asyncio streams", python<asyncio, streams>},
                                     {"asyncio Protocol", python<asyncio, protocol>},
                                     {"uvloop streams", python<uvloop, streams>},
                                     {"uvloop Protocol", python<uvloop, protocol>},
                                     {"epoll (floor)", bench::echo::serve_epoll}};

// Where the server and its clients run.
struct placement {
  int server, clients;
};

placement cores(bool same) {
  const std::vector<int>& cpus = bench::startup_cpus();
  return {cpus[0], cpus[same || cpus.size() < 2 ? 0 : 1]};
}

// Runs a load, in a process of its own, against every server: a function of load.hpp and its arguments after the
// target. Servers that are not `fresh` each time live as long as the case.
void compare(bench::session& session, const std::vector<metric>& metrics, int repetitions, bool same_core,
             const std::vector<std::string>& load, bool fresh = false) {
  std::vector<bench::subject> subjects;
  for (const bench::server& s : servers) {
    std::shared_ptr<bench::server_process> server;
    auto run = [&s, &load, where = cores(same_core), fresh, hurried = session.quick(), server]() mutable {
      if (fresh) server = nullptr;
      if (server == nullptr) server = std::make_shared<bench::server_process>(s.system, where.server);
      std::vector<std::string> command = {load[0], std::to_string(server->port()), std::to_string(server->pid()),
                                          std::to_string(where.clients)};
      command.insert(command.end(), load.begin() + 1, load.end());
      if (!hurried) bench::wait_until_near(where.server, where.clients);
      return bench::probe(command);
    };
    subjects.push_back({s.system, run});
  }
  session.compare(metrics, 1, repetitions, std::move(subjects), !fresh && !session.quick());
}

void exchange_case(bench::session& session, int connections, const std::string& size_name, int size, bool same_core) {
  const std::string name = std::to_string(connections) + (connections == 1 ? " connection, " : " connections, ") +
                           size_name + (same_core ? ", same core" : "");
  // The slowest need a tenth of a second to give each of many connections a large message.
  const double seconds = session.quick() ? 0.05 : connections * size > 10'000'000 ? 0.5 : 0.2;
  compare(session,
          {{name + ", messages", "messages/s", better::more},
           {name + ", p50", "us"},
           {name + ", p99", "us"},
           {name + ", server CPU", "us/message"}},
          session.reps(11, 1), same_core,
          {"exchange", std::to_string(connections), std::to_string(size), std::to_string(seconds)});
}

int run_load(const std::vector<std::string>& args) {
  bench::end_with_parent();
  const bench::echo::target to{std::stoi(args.at(1)), std::stoi(args.at(2)), std::stoi(args.at(3))};
  const std::size_t clients = std::stoul(args.at(4));
  std::vector<double> values;
  if (args[0] == "exchange") values = bench::echo::exchange(to, clients, std::stoul(args.at(5)), std::stod(args.at(6)));
  if (args[0] == "reconnect") values = bench::echo::reconnect(to, clients, std::stod(args.at(5)));
  if (args[0] == "idle_memory") values = bench::echo::idle_memory(to, clients);
  for (double v : values) std::printf("%.9g\n", v);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  int status = 0;
  if (bench::served(argc, argv, servers, status)) return status;
  if (auto args = bench::probe_arguments(argc, argv); !args.empty()) return run_load(args);

  bench::session session("echo", argc, argv);
  const int silent = session.quick() ? 1000 : 10'000;
  bench::allow_files(static_cast<unsigned long>(silent) + 200);
  for (int connections : {1, 50, 1000}) {
    exchange_case(session, connections, "64 B", 64, false);
    exchange_case(session, connections, "64 B", 64, true);
    exchange_case(session, connections, "1 KiB", 1024, false);
    exchange_case(session, connections, "64 KiB", 65536, false);
  }
  for (bool same_core : {false, true}) {
    const std::string name = std::string("connect, one message, close") + (same_core ? ", same core" : "");
    compare(session,
            {{name + ", connections", "connections/s", better::more}, {name + ", server CPU", "us/connection"}},
            session.reps(11, 1), same_core, {"reconnect", "50", session.quick() ? "0.05" : "0.2"});
  }
  compare(session, {{"memory per silent connection", "bytes"}}, session.reps(3, 1), false,
          {"idle_memory", std::to_string(silent)}, true);
  return session.finish();
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
