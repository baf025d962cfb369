// exchange: ranks 1 and 5 swap their letters, in four ways; two of them deadlock.
// Teaches: who waits for whom. Under TUTTI_WATCH=deadlock the two that hang end instead, with exit code 86 and a report
// that names both ranks, what they wait for, and where in this file.
//   mpirun -n 9 build/examples/mpi/exchange [--sendrecv | --ordered]
//   TUTTI_WATCH=deadlock mpirun -n 9 build/examples/mpi/exchange [--recv-first | --ssend-first]
#include <tutti/mpi/mpi.hpp>

#include <algorithm>
#include <array>
#include <iostream>
#include <string_view>

namespace mpi = tutti::mpi;

namespace {

// Each waits for what the other will send afterwards: hangs always.
char recv_first(const mpi::communicator& world, char mine, int partner) {
  const char theirs = world.recv<char>(partner);
  world.send(mine, partner);
  return theirs;
}

// Each waits until the other receives. A plain send would do the same as soon as the message is too long for MPI to
// put it aside: a program that sends first on both sides works in the test and hangs with real data. ssend shows it.
char ssend_first(const mpi::communicator& world, char mine, int partner) {
  world.ssend(mine, partner);
  return world.recv<char>(partner);
}

// One sends first, the other receives first.
char ordered(const mpi::communicator& world, char mine, int partner) {
  if (world.rank() < partner) {
    world.send(mine, partner);
    return world.recv<char>(partner);
  }
  const char theirs = world.recv<char>(partner);
  world.send(mine, partner);
  return theirs;
}

// Nobody needs to think.
char sendrecv(const mpi::communicator& world, char mine, int partner) { return world.sendrecv(mine, partner, partner); }

struct way {
  std::string_view name;
  char (*exchange)(const mpi::communicator& world, char mine, int partner);
};
constexpr std::array ways{way{"--sendrecv", sendrecv}, way{"--ordered", ordered}, way{"--recv-first", recv_first},
                          way{"--ssend-first", ssend_first}};

}  // namespace

int main(int argc, char** argv) {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  if (world.size() < 6) {
    if (world.rank() == 0) std::cerr << "exchange needs 6 ranks, not " << world.size() << '\n';
    return 2;
  }

  const auto chosen = std::ranges::find(ways, std::string_view(argc > 1 ? argv[1] : "--sendrecv"), &way::name);
  if (chosen == ways.end()) {
    if (world.rank() == 0) std::cerr << "exchange: no such way: " << argv[1] << '\n';
    return 2;
  }

  mpi::ordered out(world);  // printed at its end
  out << "my rank is : " << world.rank() << '\n';
  bool right = true;
  if (world.rank() == 1 || world.rank() == 5) {
    const char mine = world.rank() == 1 ? 'a' : 'b';
    const char theirs = chosen->exchange(world, mine, 6 - world.rank());
    out << "data received is = " << theirs << '\n';
    right = theirs == (world.rank() == 1 ? 'b' : 'a');
  }
  return right ? 0 : 1;
}
