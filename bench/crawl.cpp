// crawl: crawlers that follow links on one machine's server: pages per second.
#include <cstdio>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "crawl/systems.hpp"
#include "harness/child.hpp"
#include "harness/clock.hpp"
#include "harness/distance.hpp"
#include "harness/harness.hpp"
#include "harness/machine.hpp"
#include "harness/python.hpp"
#include "harness/server.hpp"

namespace {

using bench::better;

constexpr int most = 50;  // requests at once
constexpr bench::server servers[] = {{"pages", bench::crawl::serve_pages}};

std::vector<double> crawl_aiohttp(const std::string& loop, int port, int cpu) {
  std::istringstream said(bench::output_of({"taskset", "-c", std::to_string(cpu), bench::python_interpreter(),
                                            bench::source_folder() + "/crawl/crawler.py", loop, std::to_string(port),
                                            std::to_string(most)}));
  double pages = 0, seconds = 0;
  said >> pages >> seconds;
  return {pages, seconds};
}

std::vector<double> crawl_tutti(int port, int cpu) {
  return bench::probe({"tutti", std::to_string(port), std::to_string(cpu)});
}

int run_probe(const std::vector<std::string>& args) {
  bench::end_with_parent();
  bench::pin(std::stoi(args.at(2)));
  std::size_t pages = 0;
  const double taken = bench::time_ns([&] { pages = bench::crawl::crawl_tutti(std::stoi(args.at(1)), most); });
  std::printf("%zu\n%.9g\n", pages, taken / 1e9);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  int status = 0;
  if (bench::served(argc, argv, servers, status)) return status;
  if (auto args = bench::probe_arguments(argc, argv); !args.empty()) return run_probe(args);
  bench::session session("crawl", argc, argv);
  const std::vector<int>& cpus = bench::startup_cpus();
  const int server_cpu = cpus[0], client_cpu = cpus[cpus.size() < 2 ? 0 : 1];
  const auto server = std::make_shared<bench::server_process>("pages", server_cpu);
  std::vector<bench::subject> subjects;
  const auto add = [&](const std::string& name, auto crawl) {
    subjects.push_back({name, [=, hurried = session.quick()]() -> std::vector<double> {
                          if (!hurried) bench::wait_until_near(server_cpu, client_cpu);
                          const std::vector<double> taken = crawl(server->port(), client_cpu);
                          if (taken.at(0) != bench::crawl::pages)
                            throw std::runtime_error("it got " + std::to_string(taken[0]) + " pages");
                          return {taken[0] / taken.at(1)};
                        }});
  };
  add("tutti", crawl_tutti);
  add("aiohttp", [](int port, int cpu) { return crawl_aiohttp("asyncio", port, cpu); });
  add("aiohttp on uvloop", [](int port, int cpu) { return crawl_aiohttp("uvloop", port, cpu); });
  session.compare({{"4000 pages of 2 KB, 50 at once, pages", "pages/s", better::more}}, 1, session.reps(7, 1),
                  std::move(subjects), !session.quick());
  return session.finish();
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
