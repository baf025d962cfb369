// std::execution::par: libstdc++ runs it on oneTBB, whose arena sets the threads.
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <execution>

#include "systems.hpp"

namespace bench::sort {

void add_std_par(contenders& to, int threads, bool stable) {
  auto limit = std::make_shared<tbb::global_control>(tbb::global_control::max_allowed_parallelism,
                                                     static_cast<std::size_t>(threads));
  add(to, "std::par", [limit, stable, arena = std::make_shared<tbb::task_arena>(threads)](auto& v, auto less) {
    arena->execute([&] {
      if (stable) return std::stable_sort(std::execution::par, v.begin(), v.end(), less);
      std::sort(std::execution::par, v.begin(), v.end(), less);
    });
  });
}

}  // namespace bench::sort
