#include <tutti/cluster/inside/worker/builtin_tasks.hpp>

#include <tutti/cluster/json_parts.hpp>
#include <tutti/cluster/this_call.hpp>

#include <array>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

namespace tutti::cluster {
namespace {

std::string member(std::string_view object, std::string_view name) {
  for (auto& [key, value] : object_parts(object)) {
    if (key == name) return std::move(value);
  }
  return {};
}

// A parameter that may come by position or by name.
std::string parameter(const std::vector<std::string>& args, std::string_view kwargs, std::size_t position,
                      const char* name) {
  std::string found = position < args.size() ? args[position] : member(kwargs, name);
  if (found.empty()) throw argument_error(std::string("missing argument \"") + name + '"');
  return found;
}

// [f(x) for x in it], or [f(*x) for x in it].
std::string map_task(std::string_view args, std::string_view kwargs, bool star) {
  const std::vector<std::string> given = array_parts(args);
  const std::string signature = parameter(given, kwargs, 0, "task");
  const std::string name = string_in(member(signature, "task")).value_or("");
  const registered_task* const task = find_task(name);
  if (task == nullptr) throw not_registered("the task \"" + name + "\" to be mapped is not known to this worker");
  std::vector<std::string> results;
  for (const std::string& item : array_parts(parameter(given, kwargs, 1, "it"))) {
    if (this_call::running() && this_call::stop_token().stop_requested()) {
      throw cancelled("the task was asked to stop after " + std::to_string(results.size()) + " calls of " + name);
    }
    results.push_back(task->run(star ? item : join_array({item}), "{}"));
  }
  return join_array(results);
}

std::string accumulate(std::string_view args, std::string_view kwargs) {
  const std::string index = member(kwargs, "index");
  if (index.empty() || index == "null") return std::string(args);
  std::vector<std::string> given = array_parts(args);
  std::int64_t n = 0;
  const auto [end, wrong] = std::from_chars(index.data(), index.data() + index.size(), n);
  const auto size = static_cast<std::int64_t>(given.size());
  if (n < 0) n += size;  // as Python counts
  if (wrong != std::errc() || end != index.data() + index.size() || n < 0 || n >= size) {
    throw argument_error("celery.accumulate: there is no argument with index " + index);
  }
  return std::move(given[static_cast<std::size_t>(n)]);
}

registered_task builtin(const char* name, const char* signature,
                        std::string (*run)(std::string_view args, std::string_view kwargs)) {
  registered_task task;
  task.settings.name = name;
  task.signature = signature;
  task.run = run;
  return task;
}

}  // namespace

const registered_task* find_builtin(std::string_view name) {
  if (!name.starts_with("celery.")) return nullptr;
  static const auto& all = *new std::array{
      // a worker may end later than main
      builtin("celery.map", "celery.map(task, it)",
              [](std::string_view args, std::string_view kwargs) { return map_task(args, kwargs, false); }),
      builtin("celery.starmap", "celery.starmap(task, it)",
              [](std::string_view args, std::string_view kwargs) { return map_task(args, kwargs, true); }),
      builtin("celery.accumulate", "celery.accumulate(*args, index=None)", accumulate),
      // What is kept goes away by itself.
      builtin("celery.backend_cleanup", "celery.backend_cleanup()",
              [](std::string_view, std::string_view) { return std::string("null"); })};
  for (const registered_task& task : all) {
    if (task.settings.name == name) return &task;
  }
  return nullptr;
}

const registered_task* task_to_run(std::string_view name) {
  const registered_task* const ours = find_builtin(name);
  return ours != nullptr ? ours : find_task(name);
}

}  // namespace tutti::cluster
