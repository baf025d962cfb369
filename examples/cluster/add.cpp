// add: `add [BROKER]`: the first program with Celery, in C++: a task, sent and waited for.
// Teaches: an ordinary function becomes a task by a constant that names it; delay() sends it, and what comes back is
// the handle to its result. Who runs it is a worker, here one of this process: see fleet.hpp.
#include <examples/cluster/fleet.hpp>
#include <tutti/base/init.hpp>
#include <tutti/cluster/function.hpp>

#include <chrono>
#include <exception>
#include <iostream>

namespace calc {
int add(int a, int b) { return a + b; }
}  // namespace calc

const tutti::cluster::function add{tutti::fn<calc::add>, {.name = "tasks.add", .params = {"a", "b"}}};

int main(int argc, char** argv) try {
  using namespace std::chrono_literals;
  tutti::init(argc, argv);
  fleet here(argc, argv);
  here.hire();
  int right = 0;
  for (int i = 0; i < 3; ++i) {
    const auto sum = add.delay(5, 5);
    std::cout << add.name() << '[' << sum.id() << "] = " << sum.get(30s) << '\n';
    right += sum.successful() && sum.get() == 10 ? 1 : 0;
  }
  const auto by_name = add.delay(1, tutti::cluster::kw("b", 2));
  return right == 3 && by_name.get(30s) == 3 ? 0 : 1;
} catch (const std::exception& e) {  // no broker there
  std::cerr << e.what() << '\n';
  return 1;
}
