// A rank of the pair that is measured. While nobody is measured both sleep: rank 0 until there is a request, rank 1
// until rank 0 sends it a signal.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <sstream>
#include <tutti/mpi/mpi.hpp>

#include "systems.hpp"

namespace bench::mpi {
namespace {

// Each on pages of its own, all of which have been written to.
std::span<char> block(std::size_t bytes) {
  constexpr std::size_t page = 4096;
  auto* const memory = static_cast<char*>(::operator new(bytes, std::align_val_t(page)));  // until the end
  std::fill_n(memory, bytes, '\0');
  return {memory, bytes};
}

using words = std::vector<std::string>;

std::size_t count_of(const std::string& word) { return std::stoul(word); }

class rank {
 public:
  double answer(const words& request) {
    const std::string& what = request.at(1);
    if (what == "pool") return pool_figure(request.at(2), count_of(request.at(3)));
    system& who = request.at(0) == "C" ? *c_ : *tutti_;
    if (what == "ping_pong") return who.ping_pong(count_of(request.at(2)), count_of(request.at(3)));
    if (what == "rate") return who.rate(count_of(request.at(2)));
    if (what == "all") {
      const std::string& name = request.at(2);
      const auto kind = name == "bcast"       ? collective::bcast
                        : name == "allreduce" ? collective::allreduce
                                              : collective::alltoall;
      return who.all(kind, count_of(request.at(3)), count_of(request.at(4)));
    }
    if (what == "structs") return who.structs(static_cast<room>(std::stoi(request.at(2))), count_of(request.at(3)));
    if (what == "objects") return who.objects(request.at(2), request.at(3), count_of(request.at(4)));
    if (what == "overlap") {
      return who.overlap(static_cast<way>(std::stoi(request.at(2))), std::stoll(request.at(3)),
                         count_of(request.at(4)));
    }
    if (what == "compute") {  // nanoseconds of so many steps, while the other rank does the same
      return ns_per_round(20, [&](std::size_t rounds) {
        for (std::size_t i = 0; i < rounds; ++i) compute(std::stoll(request.at(2)));
      });
    }
    throw std::runtime_error("no case " + what);
  }

 private:
  std::unique_ptr<system> c_ = make_c(), tutti_ = make_tutti();
};

words split(const std::string& line) {
  std::istringstream in(line);
  words all;
  for (std::string word; in >> word;) all.push_back(word);
  return all;
}

}  // namespace

std::span<char> outgoing() {
  static const std::span<char> memory = block(std::size_t{64} << 20U);
  return memory;
}
std::span<char> incoming() {
  static const std::span<char> memory = block(std::size_t{16} << 20U);
  return memory;
}

void compute(std::int64_t steps) {
  double x = 0.5;  // not the fixed point, which the compiler would find
  for (std::int64_t i = 0; i < steps; ++i) x = x * 0.999999 + 1e-6;
  keep(x);
}

int serve(std::string_view level) {
  sigset_t knock;
  sigemptyset(&knock);
  sigaddset(&knock, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &knock, nullptr);  // for all threads that MPI starts, too
  const tutti::mpi::environment mpi(
      {.threads = level == "single" ? tutti::mpi::thread_level::single : tutti::mpi::thread_level::multiple});
  const auto world = tutti::mpi::world();
  const auto other = world.sendrecv(static_cast<int>(::getpid()), 1 - world.rank(), 1 - world.rank());
  rank here;
  const auto pass_on = [&](const std::string& line) {
    ::kill(other, SIGUSR1);
    world.send(line, 1);
  };
  if (world.rank() == 0) {
    for (std::string line; std::getline(std::cin, line);) {
      pass_on(line);
      std::printf("%.9g\n", here.answer(split(line)));
      std::fflush(stdout);
    }
    pass_on("");
    return 0;
  }
  for (;;) {
    int signal = 0;
    sigwait(&knock, &signal);
    const auto line = world.recv<std::string>(0);
    if (line.empty()) return 0;
    here.answer(split(line));
  }
}

}  // namespace bench::mpi
