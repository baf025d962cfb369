// app_tasks: a library with tasks, as `tutti worker --load` loads it; nothing is linked into it.
#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/task_registry.hpp>
#include <tutti/cluster/this_call.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

using tutti::cluster::registered_task;

registered_task named(const std::string& name, std::string (*run)(std::string_view, std::string_view)) {
  registered_task task;
  task.settings.name = name;
  task.settings.max_retries = 0;
  task.signature = name;
  task.run = run;
  return task;
}

const tutti::cluster::task_registration add(named("app.add", [](std::string_view args, std::string_view) {
  long sum = 0;
  for (const std::string& part : tutti::cluster::array_parts(args)) sum += std::stol(part);
  return std::to_string(sum);
}));

const tutti::cluster::task_registration echo(named("app.echo", [](std::string_view args, std::string_view kwargs) {
  return tutti::cluster::join_array({std::string(args), std::string(kwargs)});
}));

const tutti::cluster::task_registration fail(named("app.fail", [](std::string_view, std::string_view) -> std::string {
  throw std::invalid_argument("it cannot be\x1b[1m");
}));

// Runs until it is asked to stop.
const tutti::cluster::task_registration stay(named("app.stay", [](std::string_view, std::string_view) {
  const std::stop_token stop = tutti::cluster::this_call::stop_token();
  while (!stop.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return std::string("null");
}));

}  // namespace
