// serial: the costly sum, and the plain scans that parallel ones must not lose against.
#include <numeric>

#include "../harness/work.hpp"
#include "systems.hpp"

namespace bench::scan {

std::uint64_t costly_plus::operator()(std::uint64_t a, std::uint64_t b) const {
  // The chain's result is used, but does not matter: the sum is exact.
  return a + b + (chain(a ^ b, rounds) == 1 ? 1 : 0);
}

namespace {

class serial : public system {
 public:
  void sums(const double* from, double* to, std::size_t n) override { std::inclusive_scan(from, from + n, to); }
  void costly_sums(const std::uint64_t* from, std::uint64_t* to, std::size_t n, costly_plus op) override {
    std::inclusive_scan(from, from + n, to, op);
  }
};

}  // namespace

void add_serial(contenders& to) { to.emplace_back("serial", std::make_unique<serial>()); }

}  // namespace bench::scan
