// ring: a token goes round all ranks, and each adds its name.
// Teaches: messages of any type, here a vector that grows on its way; and isend, so that the program is right on one
// rank too, which sends to itself: a plain send there might wait for a receive that comes after it.
//   mpirun -n 5 build/examples/mpi/ring
#include <tutti/mpi/mpi.hpp>

#include <iostream>
#include <numeric>
#include <vector>

namespace mpi = tutti::mpi;

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  const int next = (world.rank() + 1) % world.size();
  const int before = (world.rank() + world.size() - 1) % world.size();

  std::vector<int> token{0};
  if (world.rank() != 0) {
    token = world.recv<std::vector<int>>(before);
    token.push_back(world.rank());
  }
  mpi::request sent = world.isend(token, next);
  if (world.rank() != 0) return 0;  // a request that is dropped is waited for

  const auto back = world.recv<std::vector<int>>(before);
  sent.wait();
  std::cout << "the token has met";
  for (const int rank : back) std::cout << ' ' << rank;
  std::cout << '\n';
  std::vector<int> all(static_cast<std::size_t>(world.size()));
  std::iota(all.begin(), all.end(), 0);
  return back == all ? 0 : 1;
}
