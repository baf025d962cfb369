// serial: the plain loop that parallel ones must not lose against.
#include "systems.hpp"

namespace bench::parallel_for {

namespace {

class serial : public system_of<serial> {
 public:
  template <class Body>
  void loop(std::size_t n, const Body& each) {
    for (std::size_t i = 0; i < n; ++i) each(i);
  }
};

}  // namespace

void add_serial(contenders& to) { to.emplace_back("serial", std::make_unique<serial>()); }

}  // namespace bench::parallel_for
