#include <tutti/base/at_fork.hpp>
#include <tutti/cluster/task_registry.hpp>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <typeinfo>

namespace tutti::cluster {
namespace {

// A header that is part of several source files enters its tasks once for each: equal ones stand in one list, in order
// of registration, and the first one is found.
struct table {
  std::mutex mutex;
  std::map<std::string, std::list<std::unique_ptr<registered_task>>, std::less<>> by_name;
};

table& registry() { return process_wide<table>(); }

std::string described(const registered_task& task) {
  return task.signature + " in " + (*task.library == '\0' ? "this program" : task.library);
}

// By the type of what runs it, which `function` has one of for each C++ function.
bool is_same(const registered_task& a, const registered_task& b) {
  return a.run.target_type() == b.run.target_type() && a.signature == b.signature;
}

}  // namespace

const registered_task* find_task(std::string_view name) {
  table& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto found = all.by_name.find(name);
  return found == all.by_name.end() ? nullptr : found->second.front().get();
}

std::vector<const registered_task*> registered_tasks() {
  table& all = registry();
  const std::lock_guard lock(all.mutex);
  std::vector<const registered_task*> tasks;
  tasks.reserve(all.by_name.size());
  for (const auto& [name, entries] : all.by_name) tasks.push_back(entries.front().get());
  return tasks;
}

task_registration::task_registration(registered_task task) {
  if (task.settings.name.empty()) throw std::invalid_argument("a task needs a name, as in .name = \"tasks.add\"");
  if (!task.run) throw std::invalid_argument("task \"" + task.settings.name + "\" has nothing to run");
  auto made = std::make_unique<registered_task>(std::move(task));
  table& all = registry();
  const std::lock_guard lock(all.mutex);
  auto& entries = all.by_name[made->settings.name];
  if (!entries.empty() && !is_same(*entries.front(), *made)) {
    throw ambiguous_function("task \"" + made->settings.name +
                             "\" stands for two functions: " + described(*entries.front()) + ", and " +
                             described(*made) + "; give one of them another .name");
  }
  entry_ = entries.emplace_back(std::move(made)).get();
}

task_registration::~task_registration() {
  table& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto found = all.by_name.find(entry_->settings.name);
  found->second.remove_if([this](const auto& entry) { return entry.get() == entry_; });
  if (found->second.empty()) all.by_name.erase(found);
}

}  // namespace tutti::cluster
