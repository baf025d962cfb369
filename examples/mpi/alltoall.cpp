// alltoall: every rank has one element for each rank.
// Teaches: element i of rank j becomes element j of rank i: the table of what is sent, turned on its side.
//   mpirun -n 5 build/examples/mpi/alltoall
#include <tutti/mpi/mpi.hpp>

#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

namespace mpi = tutti::mpi;

namespace {

// `step` times 0, 1, 2, ...
std::vector<int> multiples(int step, int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  for (int& n : all) n *= step;
  return all;
}

std::string text_of(const std::vector<int>& numbers) {
  std::string text = "[";
  for (const int n : numbers) text += (text.size() > 1 ? " " : "") + std::to_string(n);
  return text + "]";
}

}  // namespace

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  const std::vector<int> sent = multiples(world.rank() + 1, world.size());
  const std::vector<int> received = world.alltoall(sent);
  mpi::ordered(world) << "process " << world.rank() << " sending " << text_of(sent) << " receiving "
                      << text_of(received) << '\n';

  bool right = received.size() == sent.size();
  for (int j = 0; right && j < world.size(); ++j) {
    right = received[static_cast<std::size_t>(j)] == (j + 1) * world.rank();
  }
  return right ? 0 : 1;
}
