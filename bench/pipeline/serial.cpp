// serial: the stages themselves, and the plain loop over them.
#include <stdexcept>

#include "../harness/work.hpp"
#include "systems.hpp"

namespace bench::pipeline {

std::uint64_t stage(std::uint64_t x, int rounds) {
  // The chain's result is used, but does not matter: numbers stay what they are.
  return rounds == 0 ? x : x + (chain(x, rounds) == 1 ? 1 : 0);
}

void adder::check() const {
  if (sum_ != static_cast<std::uint64_t>(stream_.items) * (stream_.items - 1) / 2)
    throw std::runtime_error("a wrong sum");
  if (!ordered_) throw std::runtime_error("out of order");
}

namespace {

class serial : public system {
 public:
  void run(const stream_spec& stream) override {
    adder last(stream);
    for (std::uint64_t x = 0; x < stream.items; ++x) {
      std::uint64_t value = x;
      for (int k = 0; k < stream.parallel_stages; ++k) value = stage(value, stream.rounds);
      last.add(value);
    }
    last.check();
  }
};

}  // namespace

void add_serial(contenders& to) { to.emplace_back("serial", std::make_unique<serial>()); }

}  // namespace bench::pipeline
