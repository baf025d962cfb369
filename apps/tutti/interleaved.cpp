#include <apps/tutti/interleaved.hpp>

namespace tutti::app {

std::vector<std::size_t> order_of_round(std::size_t count, std::size_t round) {
  std::vector<std::size_t> order(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t step = round % 2 == 0 ? i : count - i;
    order[i] = (round + step) % count;
  }
  return order;
}

std::vector<std::vector<program_run>> run_interleaved(
    std::span<const program> programs, const repetitions& often,
    const std::function<void(std::size_t which, int done, int all)>& before) {
  std::vector<std::vector<program_run>> runs(programs.size());
  const int rounds = often.warmup + often.runs;
  const int all = rounds * static_cast<int>(programs.size());
  int done = 0;
  for (int round = 0; round < rounds; ++round) {
    for (const std::size_t which : order_of_round(programs.size(), static_cast<std::size_t>(round))) {
      if (before) before(which, done, all);
      const program_run run = run_program(programs[which], often.timeout);
      if (round >= often.warmup) runs[which].push_back(run);
      ++done;
    }
  }
  return runs;
}

}  // namespace tutti::app
