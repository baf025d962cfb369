// oneTBB: parallel_sort, which is not stable.
#include <tbb/global_control.h>
#include <tbb/parallel_sort.h>
#include <tbb/task_arena.h>

#include "systems.hpp"

namespace bench::sort {

void add_tbb(contenders& to, int threads, bool stable) {
  if (stable) return;
  auto limit = std::make_shared<tbb::global_control>(tbb::global_control::max_allowed_parallelism,
                                                     static_cast<std::size_t>(threads));
  add(to, "oneTBB", [limit, arena = std::make_shared<tbb::task_arena>(threads)](auto& v, auto less) {
    arena->execute([&] { tbb::parallel_sort(v.begin(), v.end(), less); });
  });
}

}  // namespace bench::sort
