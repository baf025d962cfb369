// retry: `retry [BROKER]`: a task that depends on something that fails now and then.
// Teaches: an exception named in `.retry_on` (or derived from tutti::retryable) makes the worker send the task again,
// after a delay that doubles with each attempt; it waits in the broker, not in a worker. A task may ask for it itself
// with this_call::retry. When no attempts are left, the caller gets the last exception.
#include <examples/cluster/fleet.hpp>
#include <tutti/base/init.hpp>
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/this_call.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace shop {

using namespace std::chrono_literals;

struct unreachable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The weather station answers the third time.
std::string weather(std::string town) {
  const int attempt = tutti::cluster::this_call::retries() + 1;
  if (attempt < 3) throw unreachable("attempt " + std::to_string(attempt) + ": nobody answers in " + town);
  return town + ": rain, at attempt " + std::to_string(attempt);
}

// Decides itself, and after how long.
int ready_when(int attempt) {
  const int so_far = tutti::cluster::this_call::retries();
  if (so_far < attempt) tutti::cluster::this_call::retry({.countdown = 10ms, .reason = "not yet"});
  return so_far;
}

}  // namespace shop

namespace {

using namespace std::chrono_literals;
namespace cluster = tutti::cluster;

const cluster::function weather{tutti::fn<shop::weather>,
                                {.name = "shop.weather",
                                 .max_retries = 5,
                                 .retry_delay = 20ms,  // then 40 ms, 80 ms, ...
                                 .retry_on = {cluster::on<shop::unreachable>}}};
const cluster::function hopeless{tutti::named<"shop.hopeless", shop::weather>,
                                 {.max_retries = 1, .retry_delay = 20ms, .retry_on = {cluster::on<shop::unreachable>}}};
const cluster::function ready_when{tutti::fn<shop::ready_when>, {.name = "shop.ready_when", .max_retries = 10}};

}  // namespace

int main(int argc, char** argv) try {
  tutti::init(argc, argv);
  fleet here(argc, argv);
  here.hire();

  const std::string found = weather.delay("Leeds").get(60s);
  std::cout << found << '\n';
  bool right = found == "Leeds: rain, at attempt 3";

  const int attempts = ready_when.delay(4).get(60s);
  std::cout << "ready after " << attempts << " retries\n";
  right &= attempts == 4;

  try {
    hopeless.delay("Hull").get(60s);
    right = false;
  } catch (const std::exception& e) {
    std::cout << e.what() << '\n';
    right &= std::string(e.what()).find("attempt 2: nobody answers in Hull") != std::string::npos;
  }
  return right ? 0 : 1;
} catch (const std::exception& e) {  // no broker there
  std::cerr << e.what() << '\n';
  return 1;
}
