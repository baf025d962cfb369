// interleaved: several programs measured in turn, so that whatever drifts on the machine hits all alike.
#pragma once
#include <apps/tutti/run_program.hpp>

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace tutti::app {

/// In which order `count` programs run in round `round`: each round begins with the next one, and every second goes
/// backwards, so that no program always follows the same other one.
std::vector<std::size_t> order_of_round(std::size_t count, std::size_t round);

/// How often.
struct repetitions {
  int runs = 5;
  int warmup = 1;                      ///< rounds before those that count
  std::optional<double> timeout = {};  ///< seconds, for each run
};

/// Runs every program `warmup` + `runs` times, all of them once in each round; returns the runs that count, by program.
/// `before` is called before each run with the program, the number of runs done and that of all. Throws as run_program.
std::vector<std::vector<program_run>> run_interleaved(
    std::span<const program> programs, const repetitions& often,
    const std::function<void(std::size_t which, int done, int all)>& before = {});

}  // namespace tutti::app
