// point_to_point: a number from rank 0 to 4, a text from rank 1 to 8; the others have nothing to do.
// Teaches: send and recv take values of any type. The receiver names the type; memory is allocated as needed.
//   mpirun -n 9 build/examples/mpi/point_to_point
#include <tutti/mpi/mpi.hpp>

#include <iostream>
#include <string>

namespace mpi = tutti::mpi;

int main() {
  const mpi::environment environment;
  const mpi::communicator world = mpi::world();
  if (world.size() < 9) {
    if (world.rank() == 0) std::cerr << "point_to_point needs 9 ranks, not " << world.size() << '\n';
    return 2;
  }

  mpi::ordered out(world);  // printed at its end
  out << "my rank is : " << world.rank() << '\n';
  bool right = true;
  if (world.rank() == 0) {
    world.send(10'000'000, 4);
    out << "sending data 10000000 to process 4\n";
  } else if (world.rank() == 1) {
    world.send("hello", 8);
    out << "sending data hello to process 8\n";
  } else if (world.rank() == 4) {
    const int data = world.recv<int>(0);
    out << "data received is = " << data << '\n';
    right = data == 10'000'000;
  } else if (world.rank() == 8) {
    const auto data = world.recv<std::string>(1);
    out << "data1 received is = " << data << '\n';
    right = data == "hello";
  }
  return right ? 0 : 1;
}
