// app_tasks: a library with tasks, as `tutti worker --load` loads it; nothing is linked into it.
#include <tutti/base/function.hpp>
#include <tutti/cluster/function.hpp>
#include <tutti/cluster/this_call.hpp>

#include <chrono>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

namespace app_tasks {

long add(long a, long b) { return a + b; }

std::string echo(const std::string& text) { return text; }

void fail() { throw std::invalid_argument("it cannot be"); }

// Until it is asked to stop.
void stay() {
  const std::stop_token stop = tutti::cluster::this_call::stop_token();
  while (!stop.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

}  // namespace app_tasks

namespace {

using tutti::fn;
using tutti::cluster::function;

const function add{fn<app_tasks::add>, {.name = "app.add", .params = {"a", "b"}}};
const function echo{fn<app_tasks::echo>, {.name = "app.echo"}};
const function fail{fn<app_tasks::fail>, {.name = "app.fail", .max_retries = 0}};
const function stay{fn<app_tasks::stay>, {.name = "app.stay"}};

}  // namespace
