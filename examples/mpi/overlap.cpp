// overlap: coroutines that wait for messages while the rank does something else.
// Teaches: co_await a request inside mpi::run. when_all sends and receives at once, work goes on between the two, and a
// message that never comes is given up by with_timeout instead of hanging the program.
//   mpirun -n 4 build/examples/mpi/overlap
#include <tutti/mpi/mpi.hpp>
#include <tutti/task/when.hpp>
#include <tutti/task/with_timeout.hpp>
#include <tutti/task/yield.hpp>

#include <chrono>
#include <cstddef>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

namespace mpi = tutti::mpi;

namespace {

using numbers = std::vector<double>;

tutti::task<> send(const mpi::communicator& ranks, const numbers& what, int to) { co_await ranks.isend(what, to); }

tutti::task<numbers> receive(const mpi::communicator& ranks, int from, int tag = 0) {
  co_return co_await ranks.irecv<numbers>(from, tag);
}

// Something to do meanwhile, which lets messages pass now and then.
tutti::task<double> work() {
  double sum = 0;
  for (int i = 1; i <= 1000; ++i) {
    sum += i;
    if (i % 100 == 0) co_await tutti::yield_now();
  }
  co_return sum;
}

// Each rank passes a long message to the next while it works. None has to think about who sends first.
tutti::task<std::string> pass_on(const mpi::communicator& ranks) {
  const int next = (ranks.rank() + 1) % ranks.size();
  const int before = (ranks.rank() + ranks.size() - 1) % ranks.size();
  const numbers mine(100'000, ranks.rank());
  const auto [sent, theirs, sum] = co_await tutti::when_all(send(ranks, mine, next), receive(ranks, before), work());
  co_return theirs == numbers(100'000, before) && sum == 500'500 ? "passed on" : "WRONG";
}

tutti::task<std::string> wait_in_vain(const mpi::communicator& ranks) {
  constexpr int nobody_sends_this = 99;
  const int before = (ranks.rank() + ranks.size() - 1) % ranks.size();
  try {
    co_await tutti::with_timeout(receive(ranks, before, nobody_sends_this), std::chrono::milliseconds(20));
  } catch (const tutti::timed_out&) {
    co_return "given up";
  }
  co_return "WRONG";
}

}  // namespace

int main() {
  const mpi::environment environment({.threads = mpi::thread_level::funneled});  // mpi::run needs no other thread
  const mpi::communicator world = mpi::world();
  const std::string first = mpi::run(pass_on(world));
  const std::string second = mpi::run(wait_in_vain(world));
  mpi::ordered(world) << "rank " << world.rank() << ": " << first << ", " << second << '\n';
  return first == "passed on" && second == "given up" ? 0 : 1;
}
