// process_naming: processes with a name, and one that gets its name from the library.
// Teaches: a name is for people: it is the same inside, outside, in errors and in ps. The process reads its own with
// this_process::name(); to_string(process) says name, number and state.
#include <tutti/process/process.hpp>
#include <tutti/process/this_process.hpp>
#include <tutti/tutti.hpp>

#include <iostream>
#include <string>
#include <vector>

namespace process_naming {

void work() {
  const std::string& name = tutti::this_process::name();
  std::cout << "Starting process name = " << name << "\nExiting process name = " << name << '\n';
}

}  // namespace process_naming

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  using process_naming::work;
  std::vector<tutti::process> workers;
  for (const char* name : {"myFunc process", "Worker 2", ""}) {  // "": as if none was given
    workers.emplace_back(tutti::process_options{.name = name, .out = tutti::stdio::pipe()}, tutti::fn<work>);
  }

  bool right = tutti::this_process::name() == "main";
  for (tutti::process& worker : workers) {
    const std::string said = worker.communicate().out;  // to its end: lines of several processes do not mix
    std::cout << said << to_string(worker) << '\n';
    const std::string &name = worker.name(), pid = std::to_string(worker.pid());
    right = right && said == "Starting process name = " + name + "\nExiting process name = " + name + '\n' &&
            to_string(worker) == name + " (pid " + pid + "): exit code 0";
  }
  right = right && workers[0].name() == "myFunc process" && workers[1].name() == "Worker 2" &&
          workers[2].name() == "process-1";  // counts those without a name
  return right ? 0 : 1;
}
