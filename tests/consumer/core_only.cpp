// core_only: an executor made by name, so the module's registration must have survived installing and linking.
#include <cstdio>
#include <tutti/core/core.hpp>
#include <vector>

namespace app {
int square(int x) { return x * x; }
}  // namespace app

int main(int argc, char** argv) {
  tutti::init(argc, argv);
  auto pool = tutti::make_executor("threads:2");
  int sum = 0;
  for (int n : pool->map<app::square>(std::vector{1, 2, 3})) sum += n;
  std::printf("%d\n", sum);
  return sum == 14 ? 0 : 1;
}
