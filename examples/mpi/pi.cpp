// pi: pi as the area under 4 / (1 + x^2) from 0 to 1, in a million strips.
// Teaches: share the work by block_of, add up with allreduce: the whole of many parallel programs.
//   mpirun -n 4 build/examples/mpi/pi
#include <tutti/mpi/mpi.hpp>

#include <cmath>
#include <cstddef>
#include <iomanip>
#include <iostream>
#include <numbers>

namespace mpi = tutti::mpi;

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();

  constexpr std::size_t strips = 1'000'000;
  const mpi::block mine = mpi::block_of(strips, world.rank(), world.size());
  double area = 0;
  for (std::size_t i = mine.first; i < mine.end(); ++i) {
    const double x = (static_cast<double>(i) + 0.5) / strips;
    area += 4 / (1 + x * x);
  }
  const double pi = world.allreduce(area / strips, mpi::sum);

  if (world.rank() == 0) std::cout << "pi = " << std::fixed << std::setprecision(10) << pi << '\n';
  return std::abs(pi - std::numbers::pi) < 1e-10 ? 0 : 1;
}
