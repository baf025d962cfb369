#include "team.hpp"

#include <algorithm>
#include <exception>
#include <latch>
#include <thread>

#include "clock.hpp"
#include "machine.hpp"

namespace bench {

double together(placement where, const std::vector<std::function<void()>>& bodies) {
  const std::vector<int>& cpus = startup_cpus();
  const std::size_t cores = where == placement::one_core ? 1 : std::min<std::size_t>(2, cpus.size());
  std::vector<double> begins(bodies.size()), ends(bodies.size());
  std::vector<std::exception_ptr> errors(bodies.size());
  std::latch all_here(static_cast<std::ptrdiff_t>(bodies.size()));
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      threads.emplace_back([&, i] {
        pin(cpus[i % cores]);
        all_here.arrive_and_wait();
        begins[i] = now_ns();
        try {
          bodies[i]();
        } catch (...) {
          errors[i] = std::current_exception();
        }
        ends[i] = now_ns();
      });
    }
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return *std::max_element(ends.begin(), ends.end()) - *std::min_element(begins.begin(), begins.end());
}

}  // namespace bench
