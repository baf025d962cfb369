// statistics: `statistics [BROKER]`: jobs on two workers, and who has done what: Parallel Python's print_stats.
// Teaches: a task knows its worker and its time, and tells them with its result; the same is in the events that workers
// send (-E) and in `tutti inspect stats`, for those who only watch.
#include <examples/cluster/fleet.hpp>
#include <tutti/base/init.hpp>
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/this_call.hpp>

#include <boost/describe/class.hpp>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <iomanip>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace jobs {

struct report {
  std::uint64_t value = 0;
  std::string worker;
  double seconds = 0;
};
BOOST_DESCRIBE_STRUCT(report, (), (value, worker, seconds))

// How many steps the numbers below `n` take to 1, halved or tripled plus one.
report collatz_steps(std::uint64_t n) {
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t steps = 0;
  for (std::uint64_t i = 1; i < n; ++i) {
    for (std::uint64_t x = i; x != 1; x = x % 2 == 0 ? x / 2 : 3 * x + 1) ++steps;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return {steps, tutti::cluster::this_call::worker(), took.count()};
}

}  // namespace jobs

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

const tutti::cluster::function collatz_steps{tutti::fn<jobs::collatz_steps>};

struct share {
  int jobs = 0;
  double seconds = 0;
};

void print(const std::map<std::string, share>& servers, int jobs, std::chrono::duration<double> elapsed) {
  std::cout << " job count | % of all jobs | job time sum | time per job | job server\n" << std::fixed;
  for (const auto& [name, s] : servers) {
    std::cout << std::setw(10) << s.jobs << " | " << std::setw(13) << std::setprecision(2) << 100.0 * s.jobs / jobs
              << " | " << std::setw(12) << std::setprecision(4) << s.seconds << " | " << std::setw(12)
              << std::setprecision(6) << s.seconds / s.jobs << " | " << name << '\n';
  }
  std::cout << "Time elapsed since server creation " << std::setprecision(3) << elapsed.count() << '\n';
}

}  // namespace

int main(int argc, char** argv) try {
  tutti::init(argc, argv);
  const auto start = clock_type::now();
  fleet here(argc, argv);
  // Nothing is held in advance, so that who is free takes the next one.
  const auto& one = here.hire({.concurrency = 1, .name = "one", .prefetch = 0});
  const auto& two = here.hire({.concurrency = 1, .name = "two", .prefetch = 0});

  constexpr int count = 40;
  std::vector<tutti::cluster::async_result<jobs::report>> all;
  all.reserve(count);
  for (int i = 0; i < count; ++i) all.push_back(collatz_steps.delay(20'000 + i));

  std::map<std::string, share> servers;
  bool right = true;
  for (int i = 0; i < count; ++i) {
    const jobs::report r = all[static_cast<std::size_t>(i)].get(60s);
    share& s = servers[r.worker];
    ++s.jobs;
    s.seconds += r.seconds;
    if (i == 0) right &= r.value == 1'834'604;
  }
  print(servers, count, clock_type::now() - start);

  int jobs = 0;
  for (const auto& [name, s] : servers) jobs += s.jobs;
  right &= jobs == count && servers.size() <= 2;
  for (const auto& [name, s] : servers) right &= name == one.name() || name == two.name();
  return right ? 0 : 1;
} catch (const std::exception& e) {  // no broker there
  std::cerr << e.what() << '\n';
  return 1;
}
