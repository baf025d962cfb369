// std::async(launch::async): a thread per task, so at most a thousand at once.
#include <algorithm>
#include <future>
#include <vector>

#include "systems.hpp"

namespace bench::submit {

namespace {

class async_system : public system {
 public:
  bool futures(std::size_t count) override {
    std::vector<std::future<void>> results;
    for (std::size_t left = count; left > 0;) {
      std::size_t batch = std::min<std::size_t>(left, 1000);
      for (std::size_t i = 0; i < batch; ++i) results.push_back(std::async(std::launch::async, [] {}));
      for (auto& r : results) r.get();
      results.clear();
      left -= batch;
    }
    return true;
  }
  bool round_trip() override {
    std::async(std::launch::async, [] {}).get();
    return true;
  }
};

}  // namespace

std::unique_ptr<system> make_async(int) { return std::make_unique<async_system>(); }

}  // namespace bench::submit
