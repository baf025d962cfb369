// progress: `progress [BROKER]`: a long task tells how far it is, and who waits shows it.
// Teaches: this_call::update_state keeps a state under the task's id, which any client reads; the result replaces it.
// A task that is told to stop, by revoke or its soft time limit, sees that in its stop token.
#include <examples/cluster/fleet.hpp>
#include <tutti/base/init.hpp>
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/this_call.hpp>

#include <boost/describe/class.hpp>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <thread>

namespace survey {

struct progress {
  int current = 0, total = 0;
};
BOOST_DESCRIBE_STRUCT(progress, (), (current, total))

int count_primes(int below) {
  int found = 0, step = 0;
  for (int n = 2; n < below; ++n) {
    bool is_prime = true;
    for (int d = 2; d * d <= n && is_prime; ++d) is_prime = n % d != 0;
    found += is_prime ? 1 : 0;
    if (n % (below / 5) != 0) continue;
    if (tutti::cluster::this_call::stop_token().stop_requested()) return -1;
    tutti::cluster::this_call::update_state(progress{++step, 5});
    std::this_thread::sleep_for(std::chrono::milliseconds(40));  // it is a long task
  }
  return found;
}

}  // namespace survey

const tutti::cluster::function count_primes{tutti::fn<survey::count_primes>,
                                            {.name = "survey.count_primes", .track_started = true}};

int main(int argc, char** argv) try {
  using namespace std::chrono_literals;
  tutti::init(argc, argv);
  fleet here(argc, argv);
  here.hire();

  const auto result = count_primes.delay(100'000);
  int seen = 0;
  bool in_order = true;
  for (const auto until = std::chrono::steady_clock::now() + 60s;
       !result.ready() && std::chrono::steady_clock::now() < until; std::this_thread::sleep_for(5ms)) {
    const auto [state, info] = result.look();
    if (state != "PROGRESS") continue;
    const auto now = tutti::decode_json<survey::progress>(info);
    in_order &= now.current >= seen && now.total == 5;
    if (now.current > seen) std::cout << now.current << " of " << now.total << '\n';
    seen = std::max(seen, now.current);
  }
  std::cout << result.get(30s) << " primes\n";
  return result.get() == 9592 && result.state() == "SUCCESS" && in_order && seen > 0 ? 0 : 1;
} catch (const std::exception& e) {  // no broker there
  std::cerr << e.what() << '\n';
  return 1;
}
